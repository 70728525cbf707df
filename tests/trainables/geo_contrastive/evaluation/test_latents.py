"""Measures of latents against loops, and on latents whose measures are known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from trainables.geo_contrastive.evaluation.latents import MIN_APART, days_lacking, effective_rank, geometry


def test_metrics_are_those_of_the_loops() -> None:
    torch.manual_seed(0)
    latents = torch.randn(60, 4).cumsum(0) + 3
    days = torch.cat([torch.arange(25), torch.arange(30, 65)])
    found = geometry(latents, days)
    unit = [row / row.norm() for row in latents.double()]
    pairs = [(i, j) for i in range(60) for j in range(60) if i != j]
    near = [i for i in range(59) if days[i + 1] - days[i] == 1]
    far = [(i, j) for i, j in pairs if abs(int(days[i] - days[j])) >= MIN_APART]
    inner = [i for i in range(1, 59) if days[i + 1] - days[i] == 1 == days[i] - days[i - 1]]

    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(values)

    wide = latents.double()
    variance = float((wide - wide.mean(0)).square().sum()) / 60
    bends = [float((wide[i + 1] - 2 * wide[i] + wide[i - 1]).square().sum()) for i in inner]
    expected = {
        "latent_positive_cosine": mean([float(unit[i] @ unit[i + 1]) for i in near]),
        "latent_negative_cosine": mean([float(unit[i] @ unit[j]) for i, j in far]),
        # 1 - |mean|^2, which is 1 less the mean cosine of all pairs, each latent with itself among them.
        "latent_variance": 1 - mean([float(one @ other) for one in unit for other in unit]),
        "latent_alignment": mean([float((unit[i] - unit[i + 1]).square().sum()) for i in near]),
        "latent_uniformity": math.log(
            mean([math.exp(-2 * float((unit[i] - unit[j]).square().sum())) for i, j in pairs])
        ),
        "latent_curvature": mean(bends) / (6 * variance),
        "latent_effective_rank": effective_rank(latents),
    }
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_effective_rank_counts_equal_directions() -> None:
    plane = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert effective_rank(plane) == pytest.approx(2)
    assert effective_rank(plane[:2]) == pytest.approx(1)
    assert math.isnan(effective_rank(torch.ones(4, 3)))


@pytest.mark.slow
def test_curvature_is_one_for_white_noise_and_zero_on_a_line() -> None:
    torch.manual_seed(0)
    days = torch.arange(4000)
    assert geometry(torch.randn(4000, 3), days)["latent_curvature"] == pytest.approx(1, rel=0.05)
    line = days[:100, None] * torch.tensor([[1.0, 2.0]])
    assert geometry(line, days[:100])["latent_curvature"] == pytest.approx(0, abs=1e-12)


def test_variance_is_none_of_equal_directions_and_all_of_opposite_ones() -> None:
    days = torch.arange(4)
    equal = torch.tensor([[1.0, 2.0]]) * torch.tensor([1.0, 2.0, 3.0, 9.0])[:, None]
    opposite = torch.tensor([[1.0, 2.0]]) * torch.tensor([1.0, -2.0, 3.0, -9.0])[:, None]
    assert geometry(equal, days)["latent_variance"] == pytest.approx(0, abs=1e-12)
    assert geometry(opposite, days)["latent_variance"] == pytest.approx(1)


def test_what_a_short_split_does_not_hold_is_no_number() -> None:
    found = geometry(torch.randn(3, 2), torch.tensor([0, 2, 4]))
    assert math.isnan(found["latent_positive_cosine"])
    assert math.isnan(found["latent_negative_cosine"])
    assert math.isnan(found["latent_curvature"])
    assert math.isfinite(found["latent_uniformity"])


@pytest.mark.parametrize(
    ("days", "num_lacking"),
    [
        (range(60), 0),
        (range(MIN_APART), 1),
        (range(MIN_APART + 1), 0),
        ((0, 1, 50, 51), 1),
        ((0, 3, 50), 3),
        ((0,), 4),
    ],
)
def test_metrics_of_days_that_a_split_lacks_are_named(days: Sequence[int], num_lacking: int) -> None:
    day = np.array(days)
    found = geometry(torch.randn(len(day), 4), torch.from_numpy(day))
    lacking = days_lacking(day, "val")
    needed = {name for name, value in found.items() if math.isnan(value)}
    assert set(lacking) == needed - {"latent_effective_rank", "latent_uniformity"}
    assert len(lacking) == num_lacking
