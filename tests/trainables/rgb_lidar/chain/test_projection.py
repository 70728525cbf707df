import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.nn.measures.normalised_error import normalised_error, normalised_error_sums
from trainables.rgb_lidar.chain.projection import METRIC, PROJECTION_ERROR, projection_losses


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


def test_the_error_is_no_objective_for_its_target_can_be_searched() -> None:
    assert not METRIC.search_invariant


def test_the_error_is_that_of_projections_and_their_targets() -> None:
    projection, target = vectors(0)
    found = PROJECTION_ERROR.summarize(PROJECTION_ERROR.add({"projection": projection, "target": target}, {}))
    assert found == {METRIC.name: normalised_error(normalised_error_sums(projection, target))}
