"""Filling leaves no gap, touches nothing else, and equals a slow search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.fill import Fill, FillMethod
from thalweg.errors import DataError

SENTINEL = np.float32(-99999)


def field(seed: int, num_days: int = 5, rows: int = 4, cols: int = 5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    places = np.argwhere(rng.random((rows, cols)) < 0.8)
    values = rng.standard_normal((num_days, len(places))).astype(np.float32)
    missing = rng.random(values.shape) < 0.4
    missing[:, 0] = False
    values[missing] = SENTINEL
    dates = np.datetime64("2001-01-01") + np.arange(num_days)
    return values, missing, places, dates


def slow(method: FillMethod, values: np.ndarray, missing: np.ndarray, places: np.ndarray) -> np.ndarray:
    out = values.copy()
    for day, cell in np.argwhere(missing):
        known = [other for other in range(len(places)) if not missing[day, other]]
        squares = [int(((places[cell] - places[other]) ** 2).sum()) for other in known]
        out[day, cell] = {
            "zero": 0.0,
            "median": np.median([values[day, other] for other in known]),
            "nearest": values[day, known[squares.index(min(squares))]],
        }[method]
    return out


@pytest.mark.parametrize("method", ["zero", "nearest", "median"])
@given(seed=st.integers(0, 1000))
def test_filled_fields_equal_a_slow_search(method: FillMethod, seed: int) -> None:
    values, missing, places, dates = field(seed)
    fill = Fill(method, places)
    before = values.copy()
    filled = fill(values, missing, dates)
    assert not (filled == SENTINEL).any()
    assert np.array_equal(values, before)
    np.testing.assert_allclose(filled, slow(method, values, missing, places), rtol=1e-6)


@pytest.mark.parametrize("method", ["zero", "nearest", "median"])
def test_pieces_are_filled_and_counted_like_the_whole(method: FillMethod) -> None:
    values, missing, places, dates = field(3, num_days=9)
    missing[4] = False
    whole, parts = Fill(method, places), Fill(method, places)
    expected = whole(values, missing, dates)
    pieces = [parts(values[cut], missing[cut], dates[cut]) for cut in (slice(2), slice(2, 9))]
    assert np.array_equal(np.concatenate(pieces), expected)
    for fill in (whole, parts):
        assert fill.num_values == missing.sum()
        assert fill.num_cells == missing.any(axis=0).sum()
        assert fill.num_days == missing.any(axis=1).sum() < 9


@pytest.mark.parametrize("method", ["nearest", "median"])
def test_a_day_without_any_data_is_refused_with_its_date(method: FillMethod) -> None:
    values, missing, places, dates = field(0)
    missing[2] = True
    with pytest.raises(DataError, match=f"filled by {method}, got none on 2001-01-03; fill with zero"):
        Fill(method, places)(values, missing, dates)
    assert not Fill("zero", places)(values, missing, dates)[2].any()
