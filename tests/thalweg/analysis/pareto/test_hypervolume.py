"""Dominance and hypervolume against their definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thalweg.analysis.pareto.hypervolume import hypervolume, undominated

POINTS = st.integers(1, 4).flatmap(
    lambda width: st.integers(1, 6).flatmap(
        lambda count: arrays(np.float64, (count, width), elements=st.integers(0, 4).map(float))
    )
)


def dominates(one: np.ndarray, other: np.ndarray) -> bool:
    """By the definition, coordinate by coordinate."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(
        a < b for a, b in zip(one, other, strict=True)
    )


def by_inclusion_and_exclusion(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume of a union of boxes: those of one, less those that two share, and so on."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            sides = np.maximum(reference - np.max(some, axis=0), 0)
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


@given(POINTS)
def test_what_stays_is_dominated_by_nothing(points: np.ndarray) -> None:
    found = undominated(points)
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert found.tolist() == expected
    assert found.any()


@given(POINTS)
def test_the_volume_is_that_of_the_union_of_boxes(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 3.5)
    assert hypervolume(points, reference) == pytest.approx(by_inclusion_and_exclusion(points, reference))


@given(POINTS)
def test_more_points_never_dominate_less(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 5.0)
    volumes = [hypervolume(points[:count], reference) for count in range(1, len(points) + 1)]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(volumes))
