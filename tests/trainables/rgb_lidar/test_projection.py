import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.rgb_lidar.projection import METRIC, add_up, projection_error, projection_losses


def vectors(seed: int, count: int = 5, dim: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator), 2 + torch.randn(count, dim, generator=generator)


def slow(projection: np.ndarray, target: np.ndarray, kind: str) -> list[float]:
    losses = []
    for ours, theirs in zip(projection.tolist(), target.tolist(), strict=True):
        gaps = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
        if kind == "mse":
            losses.append(sum(gap**2 for gap in gaps) / len(gaps))
        elif kind == "smooth_l1":
            losses.append(sum(gap**2 / 2 if gap < 1 else gap - 0.5 for gap in gaps) / len(gaps))
        else:
            product = sum(a * b for a, b in zip(ours, theirs, strict=True))
            losses.append(1 - product / math.hypot(*ours) / math.hypot(*theirs))
    return losses


@pytest.mark.parametrize("kind", ["mse", "cosine", "smooth_l1"])
@given(seed=st.integers(0, 99))
def test_losses_follow_the_slow_definition(kind: Any, seed: int) -> None:
    projection, target = vectors(seed)
    losses = projection_losses(projection, target, kind)
    assert losses.tolist() == pytest.approx(slow(projection.numpy(), target.numpy(), kind), rel=1e-4)


def error(projection: torch.Tensor, target: torch.Tensor, parts: int = 1) -> float:
    sums: dict[str, torch.Tensor] = {}
    for ours, theirs in zip(projection.chunk(parts), target.chunk(parts), strict=True):
        for name, value in add_up(ours, theirs).items():
            assert value.dtype == torch.float64
            sums[name] = sums[name] + value if name in sums else value
    return projection_error(sums)


@given(seed=st.integers(0, 99), parts=st.integers(1, 3), offset=st.sampled_from([0.0, 1000.0]))
def test_the_error_is_the_mean_square_over_the_variance(seed: int, parts: int, offset: float) -> None:
    projection, target = (values.double() + offset for values in vectors(seed, count=6))
    expected = ((projection - target) ** 2).mean() / target.var(0, correction=0).mean()
    assert error(projection, target, parts) == pytest.approx(float(expected), rel=1e-6)


def test_the_mean_of_the_targets_has_the_error_one_and_the_target_zero() -> None:
    _, target = vectors(0)
    assert error(target.mean(0).expand_as(target), target) == pytest.approx(1.0, rel=1e-6)
    assert error(target, target) == 0.0


def test_the_error_does_not_depend_on_the_unit_of_the_target() -> None:
    projection, target = vectors(0)
    assert error(1000 * projection, 1000 * target) == pytest.approx(error(projection, target), rel=1e-5)


def test_a_target_that_is_constant_has_no_error() -> None:
    projection, _ = vectors(0)
    assert math.isnan(error(projection, torch.full_like(projection, 0.1)))
    assert math.isnan(error(projection, torch.zeros_like(projection)))


def test_the_error_is_no_objective_for_its_target_can_be_searched() -> None:
    assert not METRIC.search_invariant
