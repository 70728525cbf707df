"""Cuts the grid into square patches and keeps those with enough land."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from thalweg.errors import DataError


@dataclass(frozen=True)
class Patches:
    """Positions of the kept land patches; the grid is padded with ocean to whole patches.

    Attributes:
        rows_cols: Position of each kept patch in the patch grid, row-major.
        cells: Flat grid index of each pixel, 0 in the ocean.
        valid: True on land.
    """

    rows_cols: Int64[np.ndarray, "patch 2"]
    cells: Int64[np.ndarray, "patch pixel"]
    valid: Bool[np.ndarray, "patch pixel"]


def kept_patches(land: Bool[np.ndarray, "row col"], patch_size: int, threshold: float) -> Patches:
    """Cuts the grid into square patches and keeps those with at least `threshold` land.

    Raises:
        DataError: No patch is kept.
    """
    rows, cols = land.shape
    padding = ((0, -rows % patch_size), (0, -cols % patch_size))
    cells = np.arange(rows * cols, dtype=np.int64).reshape(rows, cols)
    valid, flat = (_cut(np.pad(grid, padding), patch_size) for grid in (land, cells))
    share = valid.mean(axis=2)
    keep = share >= threshold
    if not keep.any():
        raise DataError(
            f"at least one patch must have a land share of {threshold:g}, got {share.max():.2f} at most "
            f"in patches of {patch_size} cells; lower data.land_threshold or data.patch_size"
        )
    return Patches(rows_cols=np.argwhere(keep), cells=np.where(valid, flat, 0)[keep], valid=valid[keep])


def no_patches(patch_size: int) -> Patches:
    """Returns the patches of data without fields: none."""
    return Patches(
        rows_cols=np.zeros((0, 2), np.int64),
        cells=np.zeros((0, patch_size**2), np.int64),
        valid=np.zeros((0, patch_size**2), bool),
    )


def _cut(grid: Shaped[np.ndarray, "row col"], size: int) -> Shaped[np.ndarray, "patch_row patch_col pixel"]:
    rows, cols = grid.shape[0] // size, grid.shape[1] // size
    return grid.reshape(rows, size, cols, size).swapaxes(1, 2).reshape(rows, cols, size * size)
