"""Filling leaves no gap, touches nothing else, equals a slow search, and never looks out of its patch or ahead."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.fill import FillMethod, carried_forward, fill_members, fill_pixels

SENTINEL = np.float32(-99999)
METHODS: tuple[FillMethod | None, ...] = ("zero", "nearest", "median", None)


def field(seed: int, num_days: int = 5, num_patches: int = 3, side: int = 4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shape = (num_days, num_patches, side * side)
    values = rng.standard_normal(shape).astype(np.float32)
    land = rng.random(shape[1:]) < 0.8
    known = land & (rng.random(shape) < rng.choice([0.0, 0.3, 0.9, 1.0], (num_days, num_patches, 1)))
    gaps = land & ~known
    values[gaps] = SENTINEL
    return values, known, gaps


def slow(method: FillMethod | None, values: np.ndarray, known: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    out = values.copy()
    side = round(values.shape[2] ** 0.5)
    for day, patch, pixel in np.argwhere(gaps):
        there = np.flatnonzero(known[day, patch]).tolist()
        if method == "zero" or method is None or not there:
            out[day, patch, pixel] = 0 if method == "zero" else 7
            continue
        row, col = divmod(pixel, side)
        squares = [(row - other // side) ** 2 + (col - other % side) ** 2 for other in there]
        out[day, patch, pixel] = {
            "median": np.median([values[day, patch, other] for other in there]),
            "nearest": values[day, patch, there[squares.index(min(squares))]],
        }[method]
    return out


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000))
def test_filled_pixels_equal_a_slow_search(method: FillMethod | None, seed: int) -> None:
    values, known, gaps = field(seed)
    before = values.copy()
    filled = fill_pixels(values, known, gaps, method, 7.0)
    assert filled.dtype == np.float32
    assert np.array_equal(values, before)
    np.testing.assert_allclose(filled, slow(method, values, known, gaps), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_pieces_are_filled_like_the_whole(method: FillMethod | None) -> None:
    values, known, gaps = field(3, num_days=9)
    pieces = [fill_pixels(values[cut], known[cut], gaps[cut], method, 7.0) for cut in (slice(2), slice(2, 9))]
    assert np.array_equal(np.concatenate(pieces), fill_pixels(values, known, gaps, method, 7.0))


@given(seed=st.integers(0, 1000))
def test_missing_members_leave_the_mean_of_their_patch_to_the_others(seed: int) -> None:
    values, known, gaps = field(seed)
    filled = fill_members(values, known, gaps)
    assert np.array_equal(filled[~gaps], values[~gaps])
    for day, patch in np.ndindex(*values.shape[:2]):
        others = values[day, patch][known[day, patch]].astype(np.float64)
        expected = others.mean() if len(others) else 0.0
        found = filled[day, patch][known[day, patch] | gaps[day, patch]]
        if len(found):
            assert found.mean() == pytest.approx(expected, abs=1e-5)


@given(seed=st.integers(0, 1000))
def test_values_are_carried_forward_as_a_loop_over_days_does_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.tensor(rng.standard_normal((2, 2, 6, 3, 2)))
    known = torch.tensor(rng.random(values.shape) < 0.5)
    expected = values.clone()
    for index in np.ndindex(2, 2, 3, 2):
        place = (*index[:2], slice(None), *index[2:])
        last = None
        for step in range(6):
            if known[place][step]:
                last = values[place][step]
            elif last is not None:
                expected[place][step] = last
    found = carried_forward(values, known)
    assert torch.equal(found, expected)
    later = values.clone()
    later[:, :, 4:] = 100
    assert torch.equal(carried_forward(later, known)[:, :, :4], expected[:, :, :4])
