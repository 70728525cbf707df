"""Checks the grids of a data set: headers and dates first, land cells while they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16, Shaped

from thalweg.contract import SplitName
from thalweg.data.hdf5 import DailyGrid, open_daily
from thalweg.data.npy import read_npy
from thalweg.errors import DataError
from thalweg.wording import counted
from trainables.water_mae.data.layout import SENTINEL, SPLITS, read_splits

_NO_LAND: Bool[np.ndarray, "row col"] = np.zeros((0, 0), bool)


@dataclass(frozen=True)
class Inputs:
    """The grid files of a data set, with checked headers, and its days.

    Attributes:
        grids: The grid files by role (``precipitation_train``, ...).
        land: Land mask; without rows and columns if there are no fields.
        dates: The days of all splits, one split after the other.
        spans: Positions of each split on the day axis.
    """

    grids: Mapping[str, DailyGrid]
    land: Bool[np.ndarray, "row col"]
    dates: Shaped[np.ndarray, " day"]
    spans: Mapping[SplitName, range]

    @property
    def day_of_year(self) -> Int16[np.ndarray, " day"]:
        """Days since 1 January, 0 to 365."""
        new_year = self.dates.astype("datetime64[Y]").astype("datetime64[D]")
        days: Int16[np.ndarray, " day"] = (self.dates - new_year).astype(np.int16)
        return days


def inspect(files: Mapping[str, Path]) -> Inputs:
    """Reads headers, dates and the land mask, and checks that they are consistent.

    Raises:
        DataError: They are broken or contradict each other.
    """
    fields = [role.removesuffix("_train") for role in files if role.endswith("_train")]
    if not fields:
        periods = read_splits(files["splits"])
        return _inputs({}, _NO_LAND, {split: period.dates for split, period in periods.items()})
    splits = [split for split in SPLITS if f"{fields[0]}_{split}" in files]
    roles = [f"{name}_{split}" for name in fields for split in splits]
    grids = {role: open_daily(files[role]) for role in roles}
    first = grids[f"{fields[0]}_{SPLITS[0]}"]
    land = _land_of(first, files["mask"]) if "mask" in files else _NO_LAND
    days = {split: _common_days([grids[f"{name}_{split}"] for name in fields], first) for split in splits}
    _require_order(days, first.path.parent)
    return _inputs(grids, land, days)


def _inputs(
    grids: Mapping[str, DailyGrid],
    land: Bool[np.ndarray, "row col"],
    days: Mapping[SplitName, Shaped[np.ndarray, " day"]],
) -> Inputs:
    spans: dict[SplitName, range] = {}
    for split, dates in days.items():
        start = sum(map(len, spans.values()))
        spans[split] = range(start, start + len(dates))
    return Inputs(grids=grids, land=land, dates=np.concatenate(list(days.values())), spans=spans)


def _land_of(grid: DailyGrid, path: Path) -> Bool[np.ndarray, "row col"]:
    land = read_mask(path)
    if land.shape != (grid.rows, grid.cols):
        raise DataError(
            f"the land mask must have the shape of the grids, got {land.shape} in {path} for "
            f"{(grid.rows, grid.cols)} in {grid.path}; use the mask of this grid"
        )
    return land


def _require_order(days: Mapping[SplitName, Shaped[np.ndarray, " day"]], folder: Path) -> None:
    for (before, earlier), (after, later) in pairwise(days.items()):
        if later[0] <= earlier[-1]:
            raise DataError(
                f"the split {after} must begin after {before} ends, got {later[0]} and {earlier[-1]} "
                f"in {folder}; move the overlap to one of them"
            )


def places(land: Bool[np.ndarray, "row col"], num_catchments: int) -> str:
    """Says which grid and how many catchments there are, as far as there are any."""
    rows, columns = land.shape
    grid = f"a grid of {rows} x {columns} cells, {int(land.sum()):,} of them land" if land.size else ""
    return "; ".join(filter(None, (grid, counted(num_catchments, "catchment") if num_catchments else "")))


def _common_days(grids: list[DailyGrid], first: DailyGrid) -> Shaped[np.ndarray, " day"]:
    """Returns the days of one split; all of its files must have the same days and the same grid."""
    days = grids[0].dates
    for grid in grids:
        if (grid.rows, grid.cols) != (first.rows, first.cols):
            raise DataError(
                f"all grids must have one shape, got {(grid.rows, grid.cols)} in {grid.path} and "
                f"{(first.rows, first.cols)} in {first.path}; write them on one grid"
            )
        if not np.array_equal(grid.dates, days):
            raise DataError(
                "the modalities of a split must cover the same days, "
                f"got {grid.dates[0]} to {grid.dates[-1]} in {grid.path} and {days[0]} to {days[-1]} "
                f"in {grids[0].path}; write the days that all have"
            )
    return days


def read_mask(path: Path) -> Bool[np.ndarray, "row col"]:
    """Reads a land mask as numpy or as torch wrote it.

    Raises:
        DataError: The file is no land mask.
    """
    mask = _read_tensor(path) if path.suffix == ".pt" else read_npy(path)
    if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        raise DataError(
            f"{path} must be a 2-D array of 0 (ocean) and 1 (land), got {mask.dtype} {mask.shape}; "
            "write the file again"
        )
    if not mask.any():
        raise DataError(f"{path} must have land, got none; use the mask of this grid")
    land: Bool[np.ndarray, "row col"] = mask.astype(bool)
    return land


def _read_tensor(path: Path) -> np.ndarray:
    try:
        return np.asarray(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, ValueError, EOFError, RuntimeError, UnpicklingError) as error:
        raise DataError(
            f"{path} must be an array that torch wrote, got {error}; copy or write the file again"
        ) from None


class LandCheck:
    """Finds and counts missing land values of one file.

    Args:
        grid: The file.

    Attributes:
        count: Number of missing values, without those of interpolated days.
        num_days: Number of days with missing values.
        cells: Land cells with missing values.
    """

    def __init__(self, grid: DailyGrid) -> None:
        self.count = 0
        self.num_days = 0
        self.cells: Bool[np.ndarray, " cell"] | None = None
        self._grid = grid
        self._first = ""
        self._kind = ""

    def update(self, first: int, land: Float32[np.ndarray, "day cell"]) -> Bool[np.ndarray, "day cell"]:
        """Returns a mask of the land cells with data on the days from number `first` on.

        Values on days that the file marks as interpolated are no data.
        """
        sentinel = land == SENTINEL
        wrong = sentinel | ~np.isfinite(land)
        if self.cells is None:
            self.cells = np.zeros(land.shape[1], bool)
        if wrong.any():
            if not self.count:
                day = int(np.flatnonzero(wrong.any(axis=1))[0])
                self._first = str(self._grid.dates[first + day])
                self._kind = (
                    f"the sentinel {SENTINEL:g}" if sentinel[day].any() else "NaN, infinity or a fill value"
                )
            self.count += int(wrong.sum())
            self.num_days += int(wrong.any(axis=1).sum())
            self.cells |= wrong.any(axis=0)
        known: Bool[np.ndarray, "day cell"] = (
            ~wrong & ~self._grid.interpolated[first : first + len(land), None]
        )
        return known

    def raise_if_any(self) -> None:
        """Raises a `DataError` with count and first date if any value was missing."""
        if self.count:
            raise DataError(
                f"land cells of {self._grid.path} must hold data, got {self.count} values without, "
                f"first {self._kind} on {self._first}; fill them (data.fill_precipitation and its like, "
                "or fill of the modality), "
                "or mark cells that never have data as ocean in the land mask"
            )
