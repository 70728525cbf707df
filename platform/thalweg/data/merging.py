"""Merges HDF5 files with one dataset per day, named YYYY-MM-DD, such as monthly files, into one daily file."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

from thalweg.data.encoding import Encoding
from thalweg.data.hdf5 import CHUNK_DAYS, unreadable, write_daily
from thalweg.data.store import content_hashes, key_of
from thalweg.data.survey import Extremes, Survey
from thalweg.errors import DataError
from thalweg.files import atomic_file, writing
from thalweg.wording import some

MissingDays = Literal["refuse", "interpolate"]

_FORMAT = 3  # version of the format of merged files
_SOURCE = "merged_from"  # attribute of a merged file: a hash of everything that it depends on
_EXTREMES = "extremes"  # attribute of a merged file: the result of its survey, as JSON


@dataclass(frozen=True)
class Merged:
    """Report on a merged file.

    Attributes:
        path: The file.
        num_files: Number of files that its days come from.
        num_days: Number of its days.
        gaps: First and last day of each run of days that no file holds.
        written: False if the file was up to date already.
        extremes: Extremes of its values without interpolated days; None if they were not surveyed.
    """

    path: Path
    num_files: int
    num_days: int
    gaps: tuple[tuple[str, str], ...]
    written: bool
    extremes: Extremes | None = None

    def __str__(self) -> str:
        gaps = ", ".join(first if first == last else f"{first} to {last}" for first, last in self.gaps)
        state = "" if self.written else ", there already"
        values = f"; {self.extremes}" if self.extremes else ""
        days = f"{self.num_days} days of {self.num_files} files"
        return f"{self.path.name}: {days}; gaps: {gaps or 'none'}{state}{values}"


@dataclass(frozen=True)
class Look:
    """A survey of the values of a merged file before it is published.

    Attributes:
        survey: Makes the survey, given the declared unit (empty if there is none).
        land: Mask of the cells to survey.
    """

    survey: Callable[[str], Survey]
    land: Bool[np.ndarray, "row col"]


def find_days(files: Sequence[Path]) -> dict[np.datetime64, Path]:
    """Returns the file of each day, in the order of time.

    Raises:
        DataError: A file cannot be read, it holds a dataset that is not a day, or two files hold the same day.
    """
    found: dict[np.datetime64, Path] = {}
    for path in files:
        for name in _names(path):
            day = _day(path, name)
            if day in found:
                raise DataError(
                    f"each day must be in one file, got {name} in {found[day]} and in {path}; "
                    "take one of them away"
                )
            found[day] = path
    return dict(sorted(found.items()))


def merge(
    days: Mapping[np.datetime64, Path],
    dates: Shaped[np.ndarray, " day"],
    target: Path,
    *,
    missing: MissingDays = "refuse",
    sentinel: float = float("nan"),
    look: Look | None = None,
) -> Merged:
    """Writes the days of a period into one daily HDF5 file; skips a file that is up to date.

    The same days give the same bytes, however they are spread over files. Interpolated days are marked as such. The
    file holds physical values, NaN for missing data. It appears under its name only when complete.

    Args:
        days: The file of each day, from `find_days`.
        dates: Consecutive days of the period.
        target: The merged file.
        missing: Whether days that no file holds are refused, or interpolated cell by cell between their neighbours.
        sentinel: Value of cells without data; interpolation keeps it, as it keeps NaN.
        look: Surveys the values; a file that it refuses is not written.

    Raises:
        DataError: Days are missing (the first and last of the period are never interpolated) or differ in shape or
            unit, a file is damaged, or values are out of bounds.
        OutputError: The target cannot be written.
    """
    known = np.array([day in days for day in dates])
    gaps = _gaps(dates, known)
    if gaps and (missing == "refuse" or not (known[0] and known[-1])):
        listed = some(f"{first} to {last}" for first, last in gaps)
        raise DataError(
            f"the files must hold every day from {dates[0]} to {dates[-1]}, got none for {listed}; add them, choose "
            "another period, or have days inside it interpolated"
        )
    files = sorted({days[day] for day in dates[known]})
    key = _key(files, dates, missing, sentinel, look, target.parent)
    written = _attribute(target, _SOURCE) != key
    if written:
        _write(_Days(days, dates), known, target, key, sentinel, look)
    extremes = Extremes(**json.loads(_attribute(target, _EXTREMES))) if look else None
    return Merged(target, len(files), len(dates), gaps, written=written, extremes=extremes)


def is_merged(path: Path) -> bool:
    """Returns whether `merge` wrote a file."""
    return bool(_attribute(path, _SOURCE))


class _Days:
    """Reads days one by one; the last file stays open, for it mostly holds the next day too."""

    def __init__(self, days: Mapping[np.datetime64, Path], dates: Shaped[np.ndarray, " day"]) -> None:
        self.dates = dates
        self.precision = 0.0
        self.units: str | None = None
        self._days = days
        self._path: Path | None = None
        self._file: h5py.File | None = None
        self.shape = self._read(days[dates[0]], str(dates[0])).shape

    def __getitem__(self, number: int) -> Float32[np.ndarray, "row col"]:
        path, name = self._days[self.dates[number]], str(self.dates[number])
        values = self._read(path, name)
        if values.shape != self.shape:
            raise DataError(
                f"all days must have one shape, got {values.shape} for {name} in {path} and {self.shape} "
                f"for {self.dates[0]}; write them on one grid"
            )
        return values

    def path(self, number: int) -> Path:
        """Returns the file that holds a day."""
        return self._days[self.dates[number]]

    def close(self) -> None:
        """Closes the open file."""
        if self._file is not None:
            self._file.close()

    def _read(self, path: Path, name: str) -> Float32[np.ndarray, "row col"]:
        try:
            if path != self._path:
                self.close()
                self._path, self._file = path, h5py.File(path, "r")
            assert self._file is not None
            item = self._file[name]
            if not isinstance(item, h5py.Dataset) or item.ndim != 2 or item.dtype.kind not in "fiu":
                raise DataError(
                    f"{name} in {path} must be a grid of numbers, got {getattr(item, 'dtype', 'a group')} "
                    f"{getattr(item, 'shape', '')}; write the file again"
                )
            return self._decode(item, f"{name} in {path}")
        except (OSError, RuntimeError) as error:
            raise unreadable(path, error) from None

    def _decode(self, item: h5py.Dataset, where: str) -> Float32[np.ndarray, "row col"]:
        encoding = Encoding.of_dataset(item, where)
        if self.units is None:
            self.units = encoding.units
        if encoding.units != self.units:
            raise DataError(
                f"all days must have one unit, got {encoding.units or 'none'} for {where} and {self.units or 'none'} "
                f"for {self.dates[0]}; convert them to one"
            )
        self.precision = max(self.precision, encoding.precision)
        return encoding.decode(item[:])


def _write(
    days: _Days,
    known: Bool[np.ndarray, " day"],
    target: Path,
    key: str,
    sentinel: float,
    look: Look | None,
) -> None:
    units = days.units or ""
    survey = look.survey(units) if look else None

    def attributes() -> dict[str, str]:
        return {_SOURCE: key} | ({_EXTREMES: json.dumps(asdict(survey.extremes))} if survey else {})

    try:
        pieces = _pieces(days, known, sentinel)
        if look and survey:
            pieces = _looked_at(pieces, days, known, sentinel, survey, look.land)
        missing = None if known.all() else ~known
        with writing("a merged file", target, "choose another folder"), atomic_file(target) as draft:
            write_daily(draft, days.dates, days.shape, pieces, attributes, missing, units)
            if survey:
                survey.raise_if_any()
    finally:
        days.close()


def _pieces(
    days: _Days, known: Bool[np.ndarray, " day"], sentinel: float
) -> Iterator[Float32[np.ndarray, "day row col"]]:
    """Yields the days in pieces; interpolates those that are missing."""
    positions = np.flatnonzero(known)
    for first in range(0, len(known), CHUNK_DAYS):
        numbers = range(first, min(first + CHUNK_DAYS, len(known)))
        yield np.stack(
            [
                days[number] if known[number] else _between(days, positions, number, sentinel)
                for number in numbers
            ]
        )


def _looked_at(
    pieces: Iterator[Float32[np.ndarray, "day row col"]],
    days: _Days,
    known: Bool[np.ndarray, " day"],
    sentinel: float,
    survey: Survey,
    land: Bool[np.ndarray, "row col"],
) -> Iterator[Float32[np.ndarray, "day row col"]]:
    """Yields the pieces, clipped to the bounds by `Survey.settled`; surveys the days that are data."""
    if land.shape != days.shape:
        raise DataError(
            f"the land mask must have the shape of the grids, got {land.shape} for {days.shape} in "
            f"{days.path(0)}; use the mask of this grid"
        )
    cells, first = np.flatnonzero(land), 0
    for piece in pieces:
        there = np.flatnonzero(known[first : first + len(piece)])
        values = piece.reshape(len(piece), -1)[:, cells][there]
        survey.allow(days.precision)
        labels = [f"{days.dates[number]} ({days.path(number)})" for number in (first + there).tolist()]
        survey.update(values, np.isfinite(values) & (values != sentinel), labels)
        first += len(piece)
        yield survey.settled(piece)


def _between(
    days: _Days, positions: Int64[np.ndarray, " known"], number: int, sentinel: float
) -> Float32[np.ndarray, "row col"]:
    after = int(np.searchsorted(positions, number))
    left, right = int(positions[after - 1]), int(positions[after])
    share = np.float32((number - left) / (right - left))
    begin, end = days[left], days[right]
    values: Float32[np.ndarray, "row col"] = np.where(
        (begin == sentinel) | (end == sentinel), np.float32(sentinel), begin + share * (end - begin)
    )
    return values


def _gaps(dates: Shaped[np.ndarray, " day"], known: Bool[np.ndarray, " day"]) -> tuple[tuple[str, str], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(np.int8)))
    return tuple((str(dates[first]), str(dates[stop - 1])) for first, stop in edges.reshape(-1, 2))


def _key(
    files: Sequence[Path],
    dates: Shaped[np.ndarray, " day"],
    missing: str,
    sentinel: float,
    look: Look | None,
    cache: Path,
) -> str:
    hashes = content_hashes({str(path): path for path in files}, cache / ".store")
    period = [str(dates[0]), str(dates[-1])]
    parts = {
        "files": sorted(hashes.values()),
        "period": period,
        "missing": missing,
        "sentinel": str(sentinel),
        "looked_at": np.flatnonzero(look.land).tolist() if look else None,
        "format": _FORMAT,
    }
    return key_of(parts)


def _attribute(target: Path, name: str) -> str:
    try:
        with h5py.File(target, "r") as file:
            return str(file.attrs.get(name, ""))
    except OSError:
        return ""


def _names(path: Path) -> list[str]:
    try:
        with h5py.File(path, "r") as file:
            return sorted(file)
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None


def _day(path: Path, name: str) -> np.datetime64:
    try:
        day = np.datetime64(name, "D")
    except ValueError:
        day = None
    if day is None or str(day) != name:
        raise DataError(
            f"{path} must hold one dataset per day named YYYY-MM-DD, got {name!r}; take other files away"
        )
    return day
