"""Streaming statistics equal those of the whole; the climatology equals its definition."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.normalization import Climatology, Moments, of_runs, runs


@given(st.sets(st.integers(-40, 40)))
def test_runs_hold_their_numbers_and_no_two_of_them_touch(numbers: set[int]) -> None:
    found = runs(numbers)
    assert of_runs(found) == of_runs([*found, *found]) == sorted(numbers)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(found))


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.floats(-1e4, 1e4))
def test_moments_of_pieces_equal_moments_of_the_whole(sizes: list[int], offset: float) -> None:
    rng = np.random.default_rng(sum(sizes))
    pieces = [(rng.standard_normal((size, 3)) + offset).astype(np.float32) for size in sizes]
    moments = Moments()
    for piece in pieces:
        moments.update(piece)
    everything = np.concatenate(pieces).astype(np.float64)
    if everything.size:
        assert moments.mean == pytest.approx(everything.mean(), rel=1e-9, abs=1e-9)
        assert moments.std == pytest.approx(everything.std(), rel=1e-6, abs=1e-9)
    assert moments.count == everything.size


def test_moments_keep_their_digits_far_from_zero() -> None:
    moments = Moments()
    for _ in range(100):
        moments.update(np.array([1e6, 1e6 + 1], np.float32))
    assert moments.std == pytest.approx(0.5)


def _slow_climatology(
    days: np.ndarray, day_of_year: np.ndarray, observed: np.ndarray, half_width: int
) -> np.ndarray:
    out = np.zeros((366, *days.shape[1:]))
    for target in range(366):
        near = [
            (day - target) % 366 <= half_width or (target - day) % 366 <= half_width for day in day_of_year
        ]
        for modality in range(days.shape[1]):
            for item in range(days.shape[2]):
                chosen = days[np.array(near) & observed[:, modality, item], modality, item]
                if len(chosen):
                    out[target, modality, item] = chosen.astype(np.float64).mean()
    return out


@pytest.mark.parametrize("half_width", [0, 2, 15])
def test_climatology_is_the_mean_over_near_days_of_the_year(half_width: int) -> None:
    rng = np.random.default_rng(1)
    days = rng.standard_normal((500, 2, 3)).astype(np.float32)
    day_of_year = (np.arange(500) + 200) % 366
    observed = rng.random((500, 2, 3)) > 0.3
    climatology = Climatology((2, 3), half_width)
    for first in range(0, 500, 70):
        piece = slice(first, first + 70)
        climatology.update(days[piece], day_of_year[piece], observed[piece])
    expected = _slow_climatology(days, day_of_year, observed, half_width)
    np.testing.assert_allclose(climatology.smoothed(), expected, atol=1e-6)


def test_climatology_of_days_never_seen_is_zero() -> None:
    climatology = Climatology((1, 2), half_width=3)
    climatology.update(np.ones((1, 1, 2), np.float32), np.array([100]), np.array([[[True, True]]]))
    smoothed = climatology.smoothed()
    assert np.flatnonzero(smoothed[:, 0, 0]).tolist() == list(range(97, 104))
