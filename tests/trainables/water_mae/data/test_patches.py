"""Patches are cut row by row and kept by their share of land; on the real masks as many as their authors counted."""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from thalweg.errors import DataError
from trainables.water_mae.data.patches import kept_patches
from trainables.water_mae.importing.gb_hydrology import GRID

_SHARED = Path(__file__).parents[4].parent / "shared" / "data"
_GRID = Path(os.environ.get("THALWEG_TEST_DATA", _SHARED)) / "gb_hydrology" / GRID


def _shares(land: np.ndarray, size: int) -> dict[tuple[int, int], float]:
    rows, cols = land.shape
    return {
        (row // size, col // size): float(land[row : row + size, col : col + size].mean())
        for row in range(0, rows, size)
        for col in range(0, cols, size)
    }


def test_patches_with_enough_land_are_kept_in_the_order_of_rows() -> None:
    land = np.random.default_rng(0).random((12, 8)) < np.linspace(0, 1, 12)[:, None]
    patches = kept_patches(land, 4, 0.5)
    kept = [place for place, share in _shares(land, 4).items() if share >= 0.5]
    assert [tuple(place) for place in patches.rows_cols.tolist()] == kept
    for (row, col), cells, valid in zip(kept, patches.cells, patches.valid, strict=True):
        inside = np.s_[4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
        assert valid.tolist() == land[inside].ravel().tolist()
        assert cells[valid].tolist() == np.arange(96).reshape(12, 8)[inside][land[inside]].tolist()
        assert not cells[~valid].any()


def test_exactly_the_threshold_is_enough() -> None:
    land = np.zeros((4, 8), bool)
    land[:2, :4] = True
    assert kept_patches(land, 4, 0.5).rows_cols.tolist() == [[0, 0]]
    with pytest.raises(DataError, match=r"land share of 0.51, got 0.50 at most"):
        kept_patches(land, 4, 0.51)


@pytest.mark.skipif(
    not _GRID.is_file(),
    reason="the real data are not here; set THALWEG_TEST_DATA to the folder that holds gb_hydrology/",
)
@pytest.mark.parametrize(
    ("mask", "num_land", "num_ocean", "num_left_out", "num_kept"),
    [("gb", 9_070, 373, 64, 85), ("uk", 9_641, 362, 69, 91)],
)
def test_the_real_masks_give_the_counted_patches(
    mask: str, num_land: int, num_ocean: int, num_left_out: int, num_kept: int
) -> None:
    with xr.open_dataset(_GRID) as grid:
        land = grid[f"land_{mask}"].to_numpy() == 1
    assert (land.shape, land.sum()) == ((290, 180), num_land)
    shares = np.array(list(_shares(land, 10).values()))
    assert len(shares) == 522
    assert (shares == 0).sum() == num_ocean
    assert ((shares > 0) & (shares < 0.5)).sum() == num_left_out
    assert len(kept_patches(land, 10, 0.5).rows_cols) == (shares >= 0.5).sum() == num_kept
    assert len(kept_patches(land, 10, 0.001).rows_cols) == num_left_out + num_kept
