"""From the files of a data set to its store: land patches and catchment series, normalised, day by day.

Nothing is held in memory but one piece of days of one modality, so that a full archive needs no more than a sample.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.hdf5 import CHUNK_DAYS, DailyGrid, open_daily, read_days
from thalweg.data.normalization import Climatology, Moments
from thalweg.data.store import StoreWriter
from thalweg.errors import DataError
from trainables.water_mae.catchments import Catchments, read_catchments
from trainables.water_mae.config import IMAGE_MODALITIES, VECTOR_MODALITIES, DataKnobs
from trainables.water_mae.layout import SENTINEL, SPLITS

FORMAT = 1
"""Version of what a store holds; part of its name."""
_FLOOR = 1e-6  # mm/day added to river flow before the logarithm, so that a dry day stays finite


@dataclass(frozen=True)
class Patches:
    """Where the kept land patches lie in the grid; the grid is padded with ocean to whole patches.

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


def _cut(grid: Shaped[np.ndarray, "row col"], size: int) -> Shaped[np.ndarray, "patch_row patch_col pixel"]:
    rows, cols = grid.shape[0] // size, grid.shape[1] // size
    return grid.reshape(rows, size, cols, size).swapaxes(1, 2).reshape(rows, cols, size * size)


@dataclass(frozen=True)
class Inputs:
    """The files of a data set, checked as far as their headers go.

    Attributes:
        grids: The grid files by role (``precipitation_train``, ...).
        land: Land mask.
        dates: The days of all splits, one split after the other.
        spans: Positions of each split on the day axis.
    """

    grids: Mapping[str, DailyGrid]
    land: Bool[np.ndarray, "row col"]
    dates: Shaped[np.ndarray, " day"]
    spans: Mapping[SplitName, range]


def inspect(files: Mapping[str, Path]) -> Inputs:
    """Reads headers, dates and the land mask, and checks that they belong together.

    Raises:
        DataError: They are broken or contradict each other.
    """
    grids = {f"{name}_{split}": open_daily(files[f"{name}_{split}"]) for name in IMAGE_MODALITIES for split in SPLITS}
    first = grids[f"{IMAGE_MODALITIES[0]}_{SPLITS[0]}"]
    land = _read_mask(files["mask"])
    if land.shape != (first.rows, first.cols):
        raise DataError(
            f"the land mask must have the shape of the grids, got {land.shape} in {files['mask']} for "
            f"{(first.rows, first.cols)} in {first.path}; use the mask of this grid"
        )
    spans: dict[SplitName, range] = {}
    dates: list[Shaped[np.ndarray, " day"]] = []
    for split in SPLITS:
        days = _common_days([grids[f"{name}_{split}"] for name in IMAGE_MODALITIES], first)
        start = sum(map(len, dates))
        spans[split] = range(start, start + len(days))
        dates.append(days)
    if dates[1][0] <= dates[0][-1]:
        raise DataError(
            f"the split val must begin after train ends, got {dates[1][0]} and {dates[0][-1]} "
            f"in {first.path.parent}; move the overlap to one of them"
        )
    return Inputs(grids=grids, land=land, dates=np.concatenate(dates), spans=spans)


def _common_days(grids: list[DailyGrid], first: DailyGrid) -> Shaped[np.ndarray, " day"]:
    """Returns the days of one split, which all of its files must share, as they share the grid."""
    days = grids[0].dates
    for grid in grids:
        if (grid.rows, grid.cols) != (first.rows, first.cols):
            raise DataError(
                f"all grids must have one shape, got {(grid.rows, grid.cols)} in {grid.path} and "
                f"{(first.rows, first.cols)} in {first.path}; write them on one grid"
            )
        if not np.array_equal(grid.dates, days):
            raise DataError(
                f"the modalities of a split must cover the same days, got {grid.dates[0]} to {grid.dates[-1]} "
                f"in {grid.path} and {days[0]} to {days[-1]} in {grids[0].path}; write the days that all have"
            )
    return days


def _read_mask(path: Path) -> Bool[np.ndarray, "row col"]:
    try:
        mask = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} must be a .npy array, got {error}; copy or write the file again") from None
    if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        raise DataError(f"{path} must be a 2-D array of 0 (ocean) and 1 (land), got {mask.dtype} {mask.shape}")
    if not mask.any():
        raise DataError(f"{path} must have land, got none; use the mask of this grid")
    land: Bool[np.ndarray, "row col"] = mask.astype(bool)
    return land


def prepare(writer: StoreWriter, files: Mapping[str, Path], knobs: DataKnobs) -> dict[str, Any]:
    """Checks and normalises a data set into a store; returns the facts of the store.

    Raises:
        DataError: The data are broken.
    """
    inputs = inspect(files)
    patches = kept_patches(inputs.land, knobs.patch_size, knobs.land_threshold)
    catchments = read_catchments(files, inputs.dates, inputs.spans, knobs.max_missing_ratio)
    digest = hashlib.sha256()
    _put(writer, digest, "pixel_valid", patches.valid)
    _put(writer, digest, "patch_rows_cols", patches.rows_cols)
    _put(writer, digest, "epoch_day", inputs.dates.astype(np.int64))
    writer.put("day_of_year", _day_of_year(inputs).astype(np.int16))
    moments = _write_vectors(writer, digest, inputs, catchments, knobs.vector_patch_size)
    images = writer.create("images", (len(inputs.dates), len(IMAGE_MODALITIES), *patches.valid.shape), np.float32)
    image_moments = [
        _write_image(images[:, number], name, inputs, patches, digest) for number, name in enumerate(IMAGE_MODALITIES)
    ]
    _write_image_climatology(writer, inputs, images)
    moments = image_moments + moments
    return {
        "content": digest.hexdigest(),
        "mean": [item.mean for item in moments],
        "std": [item.std for item in moments],
        "spans": {split: [span.start, span.stop] for split, span in inputs.spans.items()},
        "ids": catchments.ids.tolist(),
    }


def _put(writer: StoreWriter, digest: "hashlib._Hash", name: str, values: Shaped[np.ndarray, "..."]) -> None:
    """Stores an array that is part of the content."""
    writer.put(name, values)
    digest.update(np.ascontiguousarray(values))


def _write_image(
    out: Float32[np.ndarray, "day patch pixel"],
    name: str,
    inputs: Inputs,
    patches: Patches,
    digest: "hashlib._Hash",
) -> Moments:
    """Writes one modality; statistics come from the land cells of the training split."""
    moments = Moments()
    land = np.flatnonzero(inputs.land)
    for split in SPLITS:
        grid = inputs.grids[f"{name}_{split}"]
        faults = _Faults(grid)
        for first, days in read_days(grid):
            flat = days.reshape(len(days), -1)
            on_land = flat[:, land]
            faults.update(first, on_land)
            if split == "train" and not faults.count:
                moments.update(on_land)
            cut = np.where(patches.valid, flat[:, patches.cells], np.float32(0))
            digest.update(np.ascontiguousarray(cut))
            start = inputs.spans[split].start + first
            out[start : start + len(days)] = cut
        faults.raise_if_any()
    _require_spread(moments, name, inputs.grids[f"{name}_train"].path)
    for first in range(0, len(out), CHUNK_DAYS):
        piece = out[first : first + CHUNK_DAYS]
        piece[...] = np.where(patches.valid, (piece - np.float32(moments.mean)) / np.float32(moments.std), 0)
    return moments


class _Faults:
    """Counts land values that are not data."""

    def __init__(self, grid: DailyGrid) -> None:
        self.count = 0
        self._grid = grid
        self._first = ""
        self._kind = ""

    def update(self, first: int, land: Float32[np.ndarray, "day cell"]) -> None:
        sentinel = land == SENTINEL
        wrong = sentinel | ~np.isfinite(land)
        if wrong.any():
            if not self.count:
                day = int(np.flatnonzero(wrong.any(axis=1))[0])
                self._first = str(self._grid.dates[first + day])
                self._kind = f"the sentinel {SENTINEL:g}" if sentinel[day].any() else "NaN or infinity"
            self.count += int(wrong.sum())

    def raise_if_any(self) -> None:
        if self.count:
            raise DataError(
                f"land cells of {self._grid.path} must hold data, got {self.count} without, first {self._kind} "
                f"on {self._first}; fill them, or mark cells that never have data as ocean in the land mask"
            )


def _require_spread(moments: Moments, name: str, source: Path) -> None:
    if not moments.std > 0:
        raise DataError(
            f"{name} must vary over the training split, got {moments.mean:g} everywhere in {source}; "
            "write the file again"
        )


def _write_image_climatology(
    writer: StoreWriter, inputs: Inputs, images: Float32[np.ndarray, "day modality patch pixel"]
) -> None:
    day_of_year = _day_of_year(inputs)
    train = inputs.spans["train"]
    out = writer.create("climatology_images", (366, *images.shape[1:]), np.float32)
    for number in range(images.shape[1]):  # one modality at a time bounds the memory
        climatology = Climatology((1, *images.shape[2:]))
        for first in range(train.start, train.stop, CHUNK_DAYS):
            days = slice(first, min(first + CHUNK_DAYS, train.stop))
            piece = images[days, number : number + 1]
            climatology.update(piece, day_of_year[days], np.ones((len(piece), 1), bool))
        out[:, number] = climatology.smoothed()[:, 0]


def _day_of_year(inputs: Inputs) -> Int64[np.ndarray, " day"]:
    """Days since 1 January, 0 to 365."""
    new_year = inputs.dates.astype("datetime64[Y]").astype("datetime64[D]")
    days: Int64[np.ndarray, " day"] = (inputs.dates - new_year).astype(np.int64)
    return days


def _write_vectors(
    writer: StoreWriter, digest: "hashlib._Hash", inputs: Inputs, catchments: Catchments, patch_size: int
) -> list[Moments]:
    """Writes series and statics; statistics come from observed values of the training split."""
    train = slice(inputs.spans["train"].start, inputs.spans["train"].stop)
    digest.update(np.ascontiguousarray(catchments.values))
    values = catchments.values.astype(np.float64)
    values[:, 1] = np.log(values[:, 1] + _FLOOR)
    moments = []
    for number, name in enumerate(VECTOR_MODALITIES):
        item = Moments()
        item.update(values[train, number][catchments.known[train, number]])
        if not item.count:
            raise DataError(
                f"{name} must be present on some day of the training split, got none; "
                "add it to the parquet file or move the split"
            )
        _require_spread(item, name, Path("the parquet file"))
        values[:, number] = (values[:, number] - item.mean) / item.std
        moments.append(item)
    values[~catchments.present] = 0
    vectors = _into_patches(values.astype(np.float32), patch_size)
    writer.put("vectors", vectors)
    _put(writer, digest, "vector_present", catchments.present)
    _put(writer, digest, "catchment", catchments.ids)
    digest.update(np.ascontiguousarray(catchments.static))
    static = _into_patches(_standardised(catchments.static).T, patch_size)
    writer.put("static", np.moveaxis(static, 0, -1).astype(np.float32))
    _put(writer, digest, "member_valid", _into_patches(np.ones(len(catchments.ids), bool), patch_size))
    climatology = Climatology(vectors.shape[1:])
    climatology.update(vectors[train], _day_of_year(inputs)[train], catchments.present[train])
    writer.put("climatology_vectors", climatology.smoothed())
    return moments


def _into_patches(
    values: Shaped[np.ndarray, "*item catchment"], size: int
) -> Shaped[np.ndarray, "*item vector_patch member"]:
    """Groups neighbours in the order of ids; the last patch is padded with zeros."""
    lead = values.shape[:-1]
    padded = np.pad(values, [(0, 0)] * len(lead) + [(0, -values.shape[-1] % size)])
    return padded.reshape(*lead, -1, size)


def _standardised(
    static: Float64[np.ndarray, "catchment attribute"],
) -> Float64[np.ndarray, "catchment attribute"]:
    """Z-scores each attribute over the catchments; unknown values take the mean, which is 0."""
    spread = np.nanstd(static, axis=0)
    scores = (static - np.nanmean(static, axis=0)) / np.where(spread > 0, spread, 1)
    return np.nan_to_num(scores, nan=0.0)
