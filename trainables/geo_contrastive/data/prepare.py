"""Prepares the store of a data set from its files: z-scores by the training split, validity, climatology.

Files are read in blocks of days, so that a large data set needs no more memory than a small one. Each step of each
variable is journalled: a preparation that was killed resumes after the last finished step.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.normalization import DAYS_OF_YEAR, HALF_WIDTH, Climatology, Moments, runs
from thalweg.data.store import StoreWriter, key_of, release
from thalweg.errors import DataError
from thalweg.wording import counted, some
from trainables.geo_contrastive.data.calendars import Calendar, Days
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Contents, FieldFile, block_days, open_field
from trainables.geo_contrastive.data.splits import split_days
from trainables.geo_contrastive.data.values import FieldSurvey

_MAX_LEFT_OUT = 0.1  # share of the days
_MIN_DAYS = 5  # the smallest number of which each split has a day
_ROUNDING = 1e-12  # relative error of a sum in double precision: equal values may differ so from their mean
_CLIMATOLOGY_CELLS = 1 << 12  # cells whose 366 means are computed at once, in about 100 MB


def prepare(writer: StoreWriter, paths: Mapping[str, Path], contents: Contents) -> dict[str, Any]:
    """Checks and normalises variables into a store; returns the metadata of the store.

    Args:
        writer: Writes the store.
        paths: File of each variable.
        contents: What the data set says of them.

    Raises:
        DataError: The data are broken; the faults of all variables are reported at once.
    """
    files = _open(paths, contents)
    grids = _grids_of(files)
    coverage = _each(writer, files, "coverage", partial(_survey, writer, contents.calendar))
    days = next(iter(files.values())).days
    kept, notes = _kept(days, {name: found["missing"] for name, found in coverage.items()}, contents.calendar)
    splits = split_days(len(kept))
    _put_days(writer, days[kept], contents.calendar)
    notes += _out_of_season(contents.calendar.day_of_year(days[kept]), splits)
    for name, grid in grids.items():
        writer.put(f"first_{name}", grid.first)
        writer.put(f"second_{name}", grid.second)
    done = _each(writer, files, "fields", partial(_write, writer, kept, splits["train"]))
    means = _each(
        writer, files, "climatology", partial(_write_climatology, writer, len(kept), splits["train"])
    )
    return {
        "variables": {name: _described(file, done[name]) for name, file in files.items()},
        "geographic": {name: grid.geographic for name, grid in grids.items()},
        "splits": {split: [span.start, span.stop] for split, span in splits.items()},
        "fitted": [run for found in (*done.values(), *means.values()) for run in found.get("fitted", ())],
        "content": key_of(
            {
                "calendar": contents.calendar.name,
                "days": _hash(days[kept]),
                "fields": {name: [file.grid.name, done[name]["content"]] for name, file in files.items()},
                "grids": {name: [_hash(grid.first), _hash(grid.second)] for name, grid in grids.items()},
            }
        ),
        "notes": [*(found["note"] for found in coverage.values() if found["note"]), *notes],
    }


def _each(
    writer: StoreWriter,
    files: Mapping[str, FieldFile],
    title: str,
    work: Callable[[FieldFile], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Does a step for each variable; returns its result, or raises the faults of all variables."""
    faults, done = Faults(), {}
    for name, file in files.items():
        with faults.collected():
            done[name] = writer.step(f"{title} of {name}", partial(work, file))
    faults.raise_if_any()
    return done


def _described(file: FieldFile, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "unit": file.described.unit,
        "level": file.described.level,
        "grid": file.grid.name,
        "mean": found["mean"],
        "std": found["std"],
        "range": found["range"],
    }


def _put_days(writer: StoreWriter, days: Days, calendar: Calendar) -> None:
    writer.put("day", days)
    writer.put("season", calendar.season(days))
    writer.put("day_of_year", calendar.day_of_year(days))
    writer.put("year", calendar.year(days))


def _open(paths: Mapping[str, Path], contents: Contents) -> dict[str, FieldFile]:
    faults, files = Faults(), {}
    for name, path in paths.items():
        with faults.collected():
            files[name] = open_field(path, contents.variables[name], contents.calendar)
    faults.raise_if_any()
    first, *others = files.values()
    for other in others:
        if not np.array_equal(first.days, other.days):
            faults.add(
                f"all variables must have the same days, got {_span(first, contents)} in {first.path.name} and "
                f"{_span(other, contents)} in {other.path.name}; import them together"
            )
    faults.raise_if_any()
    return files


def _span(file: FieldFile, contents: Contents) -> str:
    first, last = (contents.calendar.text(int(day)) for day in file.days[[0, -1]])
    return f"{len(file.days):,} days from {first} to {last}"


def _grids_of(files: Mapping[str, FieldFile]) -> dict[str, Grid]:
    grids: dict[str, Grid] = {}
    for file in files.values():
        known = grids.setdefault(file.grid.name, file.grid)
        if not known.is_like(file.grid):
            raise DataError(
                f"variables of one grid must have the same axes, got other ones in {file.path} for "
                f"{file.grid.name}; import the data set again"
            )
    return grids


def _survey(writer: StoreWriter, calendar: Calendar, file: FieldFile) -> dict[str, Any]:
    """Finds out where a variable has data; returns the positions of days on which a valid cell has none."""
    name, num_days = file.described.name, len(file.days)
    survey = FieldSurvey(file.described, file.grid, calendar, file.path)
    counts = np.zeros(file.grid.shape, np.int64)
    for first, block in file.blocks():
        counts += np.isfinite(block).sum(axis=0)
        survey.update(block, file.days[first : first + len(block)])
    survey.raise_if_any()
    valid = 2 * counts >= num_days
    if not valid.any():
        raise DataError(
            f"{name} must have data on half of the days somewhere, got at most {counts.max():,} of {num_days:,} in "
            f"{file.path}; leave the variable out"
        )
    writer.put(f"valid_{name}", valid)
    missing: list[int] = []
    if (counts[valid] < num_days).any():
        for first, block in file.blocks():
            missing += (first + np.flatnonzero(np.isnan(block[:, valid]).any(axis=1))).tolist()
    share = float(1 - valid.mean())
    note = f"{name}: {share:.1%} of its cells have data on less than half of the days, and count nowhere"
    return {"missing": missing, "note": note if share else ""}


def _kept(
    days: Days, missing: Mapping[str, list[int]], calendar: Calendar
) -> tuple[Int64[np.ndarray, " kept"], list[str]]:
    """Returns the positions of the days on which all valid cells have data, and sentences on the others."""
    gone = sorted(set().union(*missing.values()))
    if len(gone) > _MAX_LEFT_OUT * len(days):
        most = max(missing, key=lambda name: len(missing[name]))
        raise DataError(
            f"at most {_MAX_LEFT_OUT:.0%} of the days may lack values in cells that have data on most days, got "
            f"{len(gone):,} of {len(days):,}, {len(missing[most]):,} of them in {most}; leave {most} out of "
            "data.variables, or write cells with many gaps as missing throughout"
        )
    kept = np.delete(np.arange(len(days)), np.array(gone, np.int64))
    if len(kept) < _MIN_DAYS:
        raise DataError(
            f"a data set must have {_MIN_DAYS} days or more, got {len(kept)}; import a longer period"
        )
    lacking = [name for name, positions in missing.items() if positions]
    return kept, [*_left_out(days, gone, lacking, calendar), *_gaps(days[kept], calendar)]


def _left_out(days: Days, gone: list[int], lacking: list[str], calendar: Calendar) -> Iterator[str]:
    if gone:
        dates = [calendar.text(int(days[position])) for position in gone]
        yield (
            f"{len(gone):,} of {len(days):,} days were left out, for cells lack values of {', '.join(lacking)} on "
            f"them: {some(dates)}"
        )


def _gaps(days: Days, calendar: Calendar) -> Iterator[str]:
    steps = np.diff(days)
    count = int((steps > 1).sum())
    if count:
        longest = int(steps.argmax())
        missing = counted(int((steps - 1).sum()), "day")
        yield (
            f"{missing} missing in {counted(count, 'gap')}, the longest of {counted(int(steps[longest]) - 1, 'day')} "
            f"after {calendar.text(int(days[longest]))}; no pair or window crosses one"
        )


def _out_of_season(day_of_year: Days, splits: Mapping[SplitName, range]) -> Iterator[str]:
    """Yields sentences on splits with days at times of the year that the training split's climatology does not know."""
    known = np.zeros(DAYS_OF_YEAR, bool)
    for apart in range(-HALF_WIDTH, HALF_WIDTH + 1):
        known[(day_of_year[splits["train"]] + apart) % DAYS_OF_YEAR] = True
    for split, days in splits.items():
        count = int((~known[day_of_year[days]]).sum())
        if count:
            yield (
                f"{count:,} of {len(days):,} days of {split} lie at times of the year of which train has no day within "
                f"{HALF_WIDTH}; what stands for their climatology is the mean of all days of train"
            )


def _kept_blocks(
    file: FieldFile, kept: Int64[np.ndarray, " kept"]
) -> Iterator[tuple[int, Float32[np.ndarray, "day lon lat"]]]:
    """Yields blocks of kept days, given by position, with the position of their first day among these."""
    for first, block in file.blocks(int(kept[-1]) + 1):
        begin, end = np.searchsorted(kept, [first, first + len(block)])
        if end > begin:
            yield int(begin), block[kept[begin:end] - first]


def _write(
    writer: StoreWriter, kept: Int64[np.ndarray, " kept"], train: range, file: FieldFile
) -> dict[str, Any]:
    """Writes the z-scores of a variable; reads the training split twice, first for its statistics."""
    name = file.described.name
    valid = writer.create(f"valid_{name}", file.grid.shape, bool)
    moments, low, high = Moments(), np.inf, -np.inf
    chosen, fitted = kept[train.start : train.stop], []
    for first, block in _kept_blocks(file, chosen):
        values = block[:, valid]
        moments.update(values)
        fitted += file.days[chosen[first : first + len(block)]].tolist()
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not moments.std > _ROUNDING * abs(moments.mean):
        raise DataError(
            f"{name} must vary over the training split, got {moments.mean:g} everywhere in {file.path}; "
            "leave the variable out"
        )
    fields = writer.create(f"fields_{name}", (len(kept), *file.grid.shape), np.float32)
    content = hashlib.sha256(np.packbits(valid).tobytes())
    for first, block in _kept_blocks(file, kept):
        content.update(np.ascontiguousarray(block[:, valid]).data)
        scaled = (block.astype(np.float64) - moments.mean) / moments.std
        fields[first : first + len(block)] = np.where(valid, scaled, 0.0)
        release(fields)
    return {
        "mean": moments.mean,
        "std": moments.std,
        "range": (high - low) / moments.std,
        "content": content.hexdigest(),
        "fitted": runs(fitted),
    }


def _write_climatology(writer: StoreWriter, num_days: int, train: range, file: FieldFile) -> dict[str, Any]:
    """Writes the climatology of a variable, strip by strip of longitudes."""
    name, (num_lons, num_lats) = file.described.name, file.grid.shape
    fields = writer.create(f"fields_{name}", (num_days, num_lons, num_lats), np.float32)
    valid = writer.create(f"valid_{name}", file.grid.shape, bool)
    day, day_of_year = (writer.create(name, (num_days,), np.int64) for name in ("day", "day_of_year"))
    out = writer.create(f"climatology_{name}", (DAYS_OF_YEAR, num_lons, num_lats), np.float32)
    width = max(_CLIMATOLOGY_CELLS // num_lats, 1)
    fitted: set[int] = set()
    for west in range(0, num_lons, width):
        strip = slice(west, west + width)
        climatology = Climatology((1, *valid[strip].shape))
        step = min(block_days(valid[strip].shape), DAYS_OF_YEAR)
        for first in range(train.start, train.stop, step):
            piece = slice(first, min(first + step, train.stop))
            days = fields[piece, strip][:, None]
            climatology.update(days, day_of_year[piece], np.broadcast_to(valid[strip], days.shape))
            fitted.update(day[piece].tolist())
            release(fields)
        out[:, strip] = climatology.smoothed()[:, 0]
        release(out)
    return {"fitted": runs(fitted)}


def _hash(values: Shaped[np.ndarray, "*shape"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
