"""Prepares the store of a data set from its files: land patches and catchment series, normalised, day by day.

Grids are read in pieces of one modality, so that memory does not grow with the archive. Each modality is a step: a
killed preparation resumes after the last finished step.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from thalweg.data.faults import Faults
from thalweg.data.fill import fill_members, fill_pixels
from thalweg.data.hdf5 import CHUNK_DAYS, read_days
from thalweg.data.normalization import DAYS_OF_YEAR, Climatology, Moments, runs
from thalweg.data.store import StoreWriter, key_of
from thalweg.data.survey import Extremes
from thalweg.errors import DataError
from trainables.water_mae.data.calendar_share import MAX_SHARE, calendar_share, sentence
from trainables.water_mae.data.catchments import Catchments, read_catchments
from trainables.water_mae.data.grids import Inputs, LandCheck, inspect
from trainables.water_mae.data.patches import Patches, kept_patches, no_patches
from trainables.water_mae.data.transform import backward, forward
from trainables.water_mae.data.values import raise_found, survey_cells, survey_training, values_note
from trainables.water_mae.knobs import DataKnobs, Filling, Modality

_KM_PER_DEGREE = 111.195
_ROUNDING = 1e-12  # relative error of a sum in double precision: equal values may differ so from their mean


def prepare(writer: StoreWriter, files: Mapping[str, Path], knobs: DataKnobs) -> dict[str, Any]:
    """Checks and normalises a data set into a store; returns the metadata of the store.

    Raises:
        DataError: The data are broken; the faults of all modalities are reported at once.
    """
    inputs = inspect(files)
    fields = knobs.modality_set.fields
    patches = (
        kept_patches(inputs.land, knobs.patch_size, knobs.land_threshold)
        if fields
        else no_patches(knobs.patch_size)
    )
    steps: dict[str, Callable[[_Content], dict[str, Any]]] = {
        "grid": lambda content: _write_grid(content, inputs, patches),
        "catchments": lambda content: _write_catchments(content, inputs, files, knobs),
        **{name: partial(_write_image, number, inputs, patches, knobs) for number, name in enumerate(fields)},
        "climatology": lambda content: _write_image_climatology(content, inputs, patches, len(fields)),
    }
    done, faults = {}, Faults()
    for name, work in steps.items():
        if name == "climatology":  # made from the arrays of the other steps
            faults.raise_if_any()
        with faults.collected():
            done[name] = writer.step(name, partial(_do, work, writer, knobs.stored_as))
    faults.raise_if_any()
    of_modalities = [*(done[name] for name in fields), done["catchments"]]
    rounding = {name: error for result in of_modalities for name, error in result["rounding"].items()}
    return {
        "notes": [note for result in of_modalities for note in result["notes"]]
        + _rounding_notes(knobs, rounding)
        + [
            values_note(
                {
                    name: Extremes(**each)
                    for result in of_modalities
                    for name, each in result["values"].items()
                }
            )
        ],
        "content": key_of({name: result["content"] for name, result in done.items()}),
        "mean": [mean for result in of_modalities for mean in result["mean"]],
        "std": [std for result in of_modalities for std in result["std"]],
        "units": [each["unit"] for result in of_modalities for each in result["values"].values()],
        "grid_shape": [-(-size // knobs.patch_size) for size in inputs.land.shape],
        "spans": {split: [span.start, span.stop] for split, span in inputs.spans.items()},
        "fitted": [run for result in done.values() for run in result.get("fitted", ())],
        "ids": done["catchments"]["ids"],
        "whole": {
            "image": all(done[name]["whole"] for name in fields),
            "vector": done["catchments"]["whole"],
        },
    }


def _do(work: Callable[["_Content"], dict[str, Any]], writer: StoreWriter, dtype: str) -> dict[str, Any]:
    content = _Content(writer, np.dtype(dtype))
    result = work(content)
    return result | {"content": content.digest(), "notes": content.notes, "rounding": content.rounding}


def _rounding_notes(knobs: DataKnobs, rounding: Mapping[str, float]) -> list[str]:
    """Returns sentences on the largest rounding errors, if values were rounded."""
    errors = ", ".join(f"{name} {error:.2g}" for name, error in rounding.items())
    if not any(rounding.values()):
        return []
    return [f"days are stored as {knobs.stored_as}; largest error in standard deviations: {errors}"]


class _Content:
    """Hashes the content of a step before any arithmetic that may differ in the last bit between machines."""

    def __init__(self, writer: StoreWriter, dtype: np.dtype[Any]) -> None:
        self.writer = writer
        self.dtype = dtype
        self.notes: list[str] = []
        self._hash = hashlib.sha256()
        self.rounding: dict[str, float] = {}

    def rounded(self, name: str, values: Float32[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Returns normalised values in the store's number format and keeps their largest error.

        Raises:
            DataError: A value is beyond the format's range.
        """
        if self.dtype == np.float32:
            return values
        with np.errstate(over="ignore"):
            stored: Float[np.ndarray, "*shape"] = values.astype(self.dtype)
        error = float(np.abs(stored.astype(np.float32) - values).max(initial=0))
        if not np.isfinite(error):
            raise DataError(
                f"normalised {name} must fit into {self.dtype}, got {np.abs(values).max():g} standard deviations; "
                "set data.stored_as to float32"
            )
        self.rounding[name] = max(error, self.rounding.get(name, 0.0))
        return stored

    def add(self, name: str, values: Shaped[np.ndarray, "*shape"]) -> None:
        """Adds an array."""
        self._hash.update(f"{name}:{values.dtype.str}:{values.shape};".encode())
        self.extend(values)

    def extend(self, values: Shaped[np.ndarray, "*shape"]) -> None:
        """Adds a piece of an array; the hash does not depend on how it is cut into pieces."""
        self._hash.update(np.ascontiguousarray(values).data)

    def put(self, name: str, values: Shaped[np.ndarray, "*shape"]) -> None:
        """Adds an array and stores it."""
        self.add(name, values)
        self.writer.put(name, values)

    def digest(self) -> str:
        """Returns the hash of everything added."""
        return self._hash.hexdigest()


def _write_grid(content: _Content, inputs: Inputs, patches: Patches) -> dict[str, Any]:
    content.add("land", inputs.land)  # cells outside the kept patches too: statistics and filling use them
    content.put("pixel_valid", patches.valid)
    content.put("patch_rows_cols", patches.rows_cols)
    content.put("epoch_day", inputs.dates.astype(np.int64))
    content.writer.put("day_of_year", inputs.day_of_year)
    return {}


def _images(
    content: _Content, inputs: Inputs, patches: Patches, num_fields: int
) -> Float[np.ndarray, "day field patch pixel"]:
    """Returns the array of all fields, each of which writes its own part."""
    shape = (len(inputs.dates), num_fields, *patches.valid.shape)
    return content.writer.create("images", shape, content.dtype)


def _write_image(
    number: int, inputs: Inputs, patches: Patches, knobs: DataKnobs, content: _Content
) -> dict[str, Any]:
    """Writes one field; reads the training split twice, first for its statistics."""
    row = knobs.modality_set.rows[number]
    name, method = row.name, knobs.filling(row.name)
    land = np.flatnonzero(inputs.land)
    grids = {split: inputs.grids[f"{name}_{split}"] for split in inputs.spans}
    training = survey_training(row, list(grids.values()), inputs.land, refused=method == "refuse")
    moments = training.moments
    _require_spread(moments, name, grids["train"].path)
    mean, std = np.float32(moments.mean), np.float32(moments.std)
    images = _images(content, inputs, patches, len(knobs.modality_set.fields))
    observed = content.writer.create(
        "image_observed", (*images.shape[:3], -(-images.shape[3] // 8)), np.uint8
    )
    recorded = content.writer.create("image_recorded", images.shape[:2], bool)
    faults, extremes, checks = Faults(), Extremes(), []
    for split, span in inputs.spans.items():
        grid = grids[split]
        checks.append(LandCheck(grid))
        survey = survey_cells(row, grid.path, inputs.land, grid.encoding.units, like=training.unit)
        survey.allow(grid.encoding.precision)
        for first, days in read_days(grid):
            flat = days.reshape(len(days), -1)
            known = checks[-1].update(first, flat[:, land])
            survey.update(flat[:, land], known, grid.dates[first : first + len(days)])
            content.extend(np.where(known, flat[:, land], np.float32(np.nan)))
            values = flat[:, patches.cells]
            flat[:, land] = known
            seen = patches.valid & (flat[:, patches.cells] > 0)
            otherwise = float(backward(row, np.array(moments.mean)))
            values = fill_pixels(
                values, seen, patches.valid & ~seen, None if method == "refuse" else method, otherwise
            )
            scaled = np.where(patches.valid, (forward(row, values) - mean) / std, np.float32(0))
            there = slice(span.start + first, span.start + first + len(days))
            images[there, number] = content.rounded(name, scaled)
            observed[there, number] = np.packbits(seen, axis=-1)
            recorded[there, number] = seen.any(axis=(1, 2))
        raise_found(checks[-1] if method == "refuse" else None, survey, faults)
        extremes += survey.extremes
    faults.raise_if_any()
    interpolated = sum(int(grid.interpolated.sum()) for grid in grids.values())
    content.notes += _gap_notes(name, checks, method, interpolated)
    if content.notes:
        content.add("filled", np.array(f"{method} in the patch"))
    return {
        "mean": [moments.mean],
        "std": [moments.std],
        "whole": not content.notes,
        "fitted": runs(training.days),
        "values": {name: asdict(extremes)},
    }


def _gap_notes(name: str, checks: Sequence[LandCheck], method: Filling, interpolated: int) -> list[str]:
    """Returns sentences on the missing values of an image modality, and how they were filled."""
    notes = []
    count = sum(check.count for check in checks)
    if count:
        num_cells = np.logical_or.reduce([check.cells for check in checks if check.cells is not None]).sum()
        notes.append(
            f"{name}: {count:,} values of {num_cells:,} land cells on {sum(check.num_days for check in checks):,} "
            f"days had no data and were filled by {method} from the same patch and day; they count nowhere, and a "
            "patch without any data on a day is not shown"
        )
    if interpolated:
        notes.append(
            f"{name}: {interpolated:,} days were interpolated at the import from days around them; "
            "they are not shown and count nowhere"
        )
    return notes


def _require_spread(moments: Moments, name: str, source: Path) -> None:
    if not moments.std > _ROUNDING * abs(moments.mean):
        raise DataError(
            f"{name} must vary over the training split, got {moments.mean:g} everywhere in {source}; "
            "write the file again"
        )


def _write_image_climatology(
    content: _Content, inputs: Inputs, patches: Patches, num_fields: int
) -> dict[str, Any]:
    images = _images(content, inputs, patches, num_fields)
    num_pixels = images.shape[3]
    observed = content.writer.create("image_observed", (*images.shape[:3], -(-num_pixels // 8)), np.uint8)
    content.writer.create(
        "image_recorded", images.shape[:2], bool
    )  # which the steps of fields write, if there are any
    train = inputs.spans["train"]
    out = content.writer.create("climatology_images", (DAYS_OF_YEAR, *images.shape[1:]), np.float32)
    fitted: set[int] = set()
    for number in range(images.shape[1]):  # one modality at a time bounds the memory
        climatology = Climatology((1, *images.shape[2:]))
        for first in range(train.start, train.stop, CHUNK_DAYS):
            days = slice(first, min(first + CHUNK_DAYS, train.stop))
            fitted.update(inputs.dates[days].astype(np.int64).tolist())
            piece = images[days, number : number + 1].astype(np.float32)
            seen = np.unpackbits(observed[days, number : number + 1], axis=-1, count=num_pixels)
            climatology.update(piece, inputs.day_of_year[days], seen.view(bool))
        out[:, number] = climatology.smoothed()[:, 0]
    return {"fitted": runs(fitted)}


def _write_catchments(
    content: _Content, inputs: Inputs, files: Mapping[str, Path], knobs: DataKnobs
) -> dict[str, Any]:
    modalities = knobs.modality_set
    if not modalities.series:
        return _write_no_catchments(content, inputs, knobs)
    catchments = read_catchments(
        files, inputs.dates, inputs.spans, knobs.max_missing_ratio, modalities, knobs.attributes
    )
    rows = [modalities[name].declared(catchments.extremes[name].unit) for name in modalities.series]
    size = _patch_size(content, knobs.vector_patch_size, len(catchments.ids))
    moments, fitted = _write_vectors(content, inputs, catchments, rows, files["series"], size)
    _write_static(content, catchments, size)
    return {
        "mean": [item.mean for item in moments],
        "std": [item.std for item in moments],
        "ids": catchments.ids.tolist(),
        "values": {name: asdict(found) for name, found in catchments.extremes.items()},
        "whole": bool(catchments.known.all()),
        "fitted": runs(fitted),
    }


def _write_no_catchments(content: _Content, inputs: Inputs, knobs: DataKnobs) -> dict[str, Any]:
    """Writes arrays of no catchments, for data of fields alone."""
    empty, num_days = (0, knobs.vector_patch_size), len(inputs.dates)
    for name, shape, dtype in (
        ("vectors", (num_days, 0, *empty), content.dtype),
        ("vector_present", (num_days, 0), bool),
        ("vector_observed", (num_days, 0, *empty), bool),
        ("climatology_vectors", (DAYS_OF_YEAR, 0, *empty), np.float32),
        ("static", (*empty, 0), np.float32),
        ("member_valid", empty, bool),
        ("member_positions", (*empty, 2), np.float32),
    ):
        content.writer.create(name, shape, dtype)
    return {"mean": [], "std": [], "ids": [], "values": {}, "whole": True}


def _patch_size(content: _Content, wanted: int, num_catchments: int) -> int:
    """Returns the catchments of a vector patch: at most half of all, so that some are seen and some are hidden."""
    if num_catchments > wanted:
        return wanted
    size = -(-num_catchments // 2)
    content.notes.append(
        f"vector patches hold {size} catchments, not {wanted}, for there are {num_catchments}; "
        "data.vector_patch_size says so"
    )
    return size


def _write_vectors(
    content: _Content,
    inputs: Inputs,
    catchments: Catchments,
    rows: Sequence[Modality],
    source: Path,
    patch_size: int,
) -> tuple[list[Moments], list[int]]:
    """Writes the series; statistics come from observed values of the training split.

    Returns:
        The statistics, and the days that they and the climatology were computed from.
    """
    train = slice(inputs.spans["train"].start, inputs.spans["train"].stop)
    content.add("series", catchments.values)
    content.add("known", catchments.known)
    values = catchments.values.astype(np.float64)
    moments = []
    for number, row in enumerate(rows):
        name, item = row.name, Moments()
        values[:, number] = forward(row, values[:, number])
        item.update(values[train, number][catchments.known[train, number]])
        if not item.count:
            raise DataError(
                f"{name} must be known on some day of the training split, got none in {source}; "
                "add it, or move the split"
            )
        _require_spread(item, name, source)
        values[:, number] = (values[:, number] - item.mean) / item.std
        moments.append(item)
        _note_calendar(content, inputs, catchments, row, number, values[train, number])
    values[~catchments.known] = 0
    known = _into_patches(catchments.known, patch_size)
    gaps = _into_patches(~catchments.known, patch_size)
    filled = fill_members(_into_patches(values.astype(np.float32), patch_size), known, gaps)
    vectors = np.stack(
        [content.rounded(row.name, filled[:, number]) for number, row in enumerate(rows)], axis=1
    )
    content.writer.put("vectors", vectors)
    content.put("vector_present", catchments.present)
    content.writer.put("vector_observed", known)
    climatology = Climatology(vectors.shape[1:])
    climatology.update(vectors[train].astype(np.float32), inputs.day_of_year[train], known[train])
    content.writer.put("climatology_vectors", climatology.smoothed())
    return moments, inputs.dates[train].astype(np.int64).tolist()


def _note_calendar(
    content: _Content,
    inputs: Inputs,
    catchments: Catchments,
    row: Modality,
    number: int,
    values: Float64[np.ndarray, "day catchment"],
) -> None:
    """Adds a note if a series, such as evaporation, which is often derived, holds little but the calendar."""
    if row.is_persistent:
        return
    train = slice(inputs.spans["train"].start, inputs.spans["train"].stop)
    share = calendar_share(values, inputs.day_of_year[train], catchments.known[train, number])
    if share > MAX_SHARE:
        content.notes.append(sentence(share, row.name))


def _write_static(content: _Content, catchments: Catchments, patch_size: int) -> None:
    names = catchments.ids
    content.add("ids", np.char.encode(names, "utf-8") if names.dtype.kind == "U" else names)
    content.add("attributes", catchments.static)
    static = _into_patches(_standardised(catchments.static).T, patch_size)
    content.writer.put("static", np.moveaxis(static, 0, -1).astype(np.float32))
    content.put("member_valid", _into_patches(np.ones(len(catchments.ids), bool), patch_size))
    content.writer.put("member_positions", _positions(catchments.positions, patch_size))


def _positions(
    positions: Float64[np.ndarray, "catchment 2"], patch_size: int
) -> Float32[np.ndarray, "vector_patch member 2"]:
    """Returns the positions of catchments in km; an unknown one is set to the mean, which is 0."""
    if np.isnan(positions).all(axis=0).any():
        return np.moveaxis(_into_patches(np.zeros((2, len(positions))), patch_size), 0, -1).astype(np.float32)
    degrees = positions - np.nanmean(positions, axis=0)
    narrowing = np.cos(np.radians(np.nanmean(positions[:, 1])))
    km = np.nan_to_num(degrees) * _KM_PER_DEGREE * np.array([narrowing, 1.0])
    return np.moveaxis(_into_patches(km.T, patch_size), 0, -1).astype(np.float32)


def _into_patches(
    values: Shaped[np.ndarray, "*item catchment"], size: int
) -> Shaped[np.ndarray, "*item vector_patch member"]:
    """Groups neighbours in the order of ids; the last patch is padded with zeros."""
    lead = values.shape[:-1]
    padded = np.pad(values, [(0, 0)] * len(lead) + [(0, -values.shape[-1] % size)])
    return padded.reshape(*lead, padded.shape[-1] // size, size)


def _standardised(
    static: Float64[np.ndarray, "catchment attribute"],
) -> Float64[np.ndarray, "catchment attribute"]:
    """Z-scores each attribute over the catchments; unknown values are set to the mean, which is 0."""
    spread = np.nanstd(static, axis=0)
    scores = (static - np.nanmean(static, axis=0)) / np.where(spread > 0, spread, 1)
    known: Float64[np.ndarray, "catchment attribute"] = np.nan_to_num(scores, nan=0.0)
    return known
