"""One variable of a source as a series of fields in the order of time, whatever files it is spread over."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64

from thalweg.data.encoding import Encoding
from thalweg.data.opening import one_chunk_at_a_time
from thalweg.errors import DataError
from thalweg.wording import some
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.quantities import quantity_of
from trainables.geo_contrastive.importing.axes import Axes, find_axes
from trainables.geo_contrastive.importing.levels import Level, levels_of, pick
from trainables.geo_contrastive.importing.opening import Opened
from trainables.geo_contrastive.importing.timeline import Seconds, seconds_of, time_text

_VERSION = "expver"  # of ERA5: 1 is final, 5 is what came first


@dataclass(frozen=True)
class Piece:
    """A variable of one file, at one level.

    Attributes:
        opened: Where it comes from.
        array: Its numbers as stored, lazily, with the dimensions of time, versions if there are some, and grid.
        axes: Its axes.
        encoding: How its numbers are stored.
        seconds: Its times, in the order of the file.
        calendar: Their calendar.
        level: Its level.
        is_bounded: Whether the times are the beginnings of declared intervals.
    """

    opened: Opened
    array: xr.DataArray
    axes: Axes
    encoding: Encoding
    seconds: Seconds
    calendar: Calendar
    level: Level | None
    is_bounded: bool

    def read(self, times: slice) -> tuple[Float32[np.ndarray, "time lon lat"], int]:
        """Returns fields in physical values, NaN for missing data, and how many had two versions."""
        part = self.array.isel({self.axes.time: times})
        versions = [_VERSION] if _VERSION in part.dims else []
        try:
            with one_chunk_at_a_time(self.opened.path):
                stored = part.transpose(self.axes.time, *versions, *self.axes.dimensions).values
        except (OSError, RuntimeError, ValueError) as error:
            is_packed = "filter" in str(error)  # HDF5 has no plugin for its compression
            raise DataError(
                f"{self.opened.name} in {self.opened.path} must be readable, got {type(error).__name__}: {error}; "
                f"{'compress it otherwise: nccopy -d 1 OLD.nc NEW.nc' if is_packed else 'copy the file again'}"
            ) from None
        fields, num_double = self.encoding.decode(stored), 0
        if versions:
            fields, num_double = _merged(fields)
        for axis, order in enumerate(self.axes.orders, start=1):
            fields = _taken(fields, order, axis)
        return fields, num_double


def pieces_of(opened: Opened, wanted: Level | None) -> list[Piece]:
    """Returns the pieces of a variable of one file: one, or one for each lead time of forecasts.

    Raises:
        DataError: It is no field in time, its level must be named or is not there, or it has further dimensions.
    """
    where = f"{opened.name} in {opened.path}"
    axes = find_axes(opened)
    if axes is None:
        raise DataError(
            f"{where} must have times, got the dimensions {', '.join(map(str, opened.array.dims))}"
        )
    levels = levels_of(opened, axes)
    position = pick(levels, wanted, where)
    array = opened.array
    if axes.level in array.dims:
        array = array.isel({axes.level: position})
    array = _without_others(array, axes, where)
    encoding = Encoding.of(array.attrs, array.dtype, where, is_netcdf=opened.kind.startswith("netCDF"))
    level = None if position is None else levels[position]
    bounds = _beginnings(opened, axes)
    pieces = []
    for part, times in _by_step(opened, array, axes):
        calendar, seconds = seconds_of(times if bounds is None else bounds, opened.path)
        if _VERSION in part.dims:
            part = part.sortby(_VERSION) if _VERSION in part.coords else part
        pieces.append(Piece(opened, part, axes, encoding, seconds, calendar, level, bounds is not None))
    return pieces


def _without_others(array: xr.DataArray, axes: Axes, where: str) -> xr.DataArray:
    """Drops dimensions of one entry; keeps those of versions and lead times."""
    for dim in axes.others:
        if array.sizes[dim] == 1:
            array = array.isel({dim: 0})
        elif dim not in (_VERSION, "step"):
            raise DataError(
                f"{where} must have time, a level and two axes of a grid, got the further dimension {dim} of "
                f"{array.sizes[dim]} entries; write a file with one of them"
            )
    return array


def _by_step(opened: Opened, array: xr.DataArray, axes: Axes) -> Iterator[tuple[xr.DataArray, xr.Variable]]:
    """Yields the variable for each lead time of forecasts, with its valid times; once if there are none."""
    times = opened.dataset.variables[axes.time]
    valid = opened.dataset.variables.get("valid_time")
    if valid is not None and set(valid.dims) <= {axes.time, "step"} and axes.time in valid.dims:
        times = valid
    if "step" not in array.dims:
        yield array, times.isel(step=0) if "step" in times.dims else times
        return
    for number in range(array.sizes["step"]):
        yield array.isel(step=number), times.isel(step=number) if "step" in times.dims else times


def _beginnings(opened: Opened, axes: Axes) -> xr.Variable | None:
    """Returns the first bound of each time, which lies in the right day wherever the time stands.

    None if no bounds are declared, or they enclose no time.

    Source: CF conventions 1.11, 7.1 (cell boundaries).
    """
    times = opened.dataset.variables[axes.time]
    bounds = opened.dataset.variables.get(times.attrs.get("bounds", ""))
    if bounds is None or bounds.dims[:1] != times.dims or bounds.shape[1:] != (2,):
        return None
    ends = np.sort(np.asarray(bounds.values), axis=1)
    if not (ends[:, 1] > ends[:, 0]).all():
        return None
    inherited = {name: times.attrs[name] for name in ("units", "calendar") if name in times.attrs}
    return xr.Variable(times.dims, ends[:, 0], inherited | bounds.attrs)


def _merged(
    fields: Float32[np.ndarray, "time version lon lat"],
) -> tuple[Float32[np.ndarray, "time lon lat"], int]:
    """Takes the first version that has a value; returns how many fields had two."""
    merged = fields[:, 0]
    double = np.zeros(len(fields), bool)
    for version in range(1, fields.shape[1]):
        missing = np.isnan(merged)
        double |= (~missing & ~np.isnan(fields[:, version])).any(axis=(1, 2))
        merged = np.where(missing, fields[:, version], merged)
    return merged, int(double.sum())


def _taken(
    fields: Float32[np.ndarray, "time _lon _lat"], order: Int64[np.ndarray, " cell"], axis: int
) -> Float32[np.ndarray, "time _lon _lat"]:
    if len(order) == fields.shape[axis] and (np.diff(order) == 1).all():
        return fields
    if (np.diff(order) == -1).all() and len(order) == fields.shape[axis]:
        return np.flip(fields, axis)
    taken: Float32[np.ndarray, "time _lon _lat"] = np.take(fields, order, axis)
    return taken


class Series:
    """The fields of a variable in the order of time.

    Args:
        name: What the data set calls it.
        pieces: Where it comes from.

    Raises:
        DataError: Pieces differ in grid, level, unit or calendar, or a time is there twice.

    Attributes:
        name: Its name in the data set.
        grid: Its grid.
        level: Its level.
        unit: Its unit, empty if no file says.
        calendar: The calendar of its times.
        seconds: Its times, ascending.
        num_double: Fields read so far of which two versions were there.
    """

    def __init__(self, name: str, pieces: list[Piece]) -> None:
        self.name = name
        self.pieces = pieces
        first = pieces[0]
        _require_alike(name, pieces)
        self.grid: Grid = first.axes.grid
        self.level, self.calendar = first.level, first.calendar
        self.unit = first.encoding.units
        self.num_double = 0
        seconds = np.concatenate([piece.seconds for piece in pieces])
        order = np.argsort(seconds, kind="stable")
        self.seconds: Seconds = seconds[order]
        self._piece = np.repeat(np.arange(len(pieces)), [len(piece.seconds) for piece in pieces])[order]
        self._position = np.concatenate([np.arange(len(piece.seconds)) for piece in pieces])[order]
        self._require_each_time_once()

    @property
    def names(self) -> set[str]:
        """What the variable is called, here and in the source."""
        opened = self.pieces[0].opened
        return {self.name, opened.name, opened.also} - {""}

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of the variable in its first file, as text."""
        return {str(name): str(value) for name, value in self.pieces[0].opened.array.attrs.items()}

    @property
    def is_bounded(self) -> bool:
        """Whether all times are the beginnings of declared intervals."""
        return all(piece.is_bounded for piece in self.pieces)

    @property
    def precision(self) -> float:
        """Largest rounding error of packing."""
        return max(piece.encoding.precision for piece in self.pieces)

    @property
    def chunk(self) -> int:
        """Times that are stored together; reading fewer at a time reads them again."""
        return max(_chunk(piece) for piece in self.pieces)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "time lon lat"]:
        """Returns the fields of times, by position."""
        parts = []
        breaks = np.flatnonzero(
            (np.diff(self._piece[start:stop]) != 0) | (np.diff(self._position[start:stop]) != 1)
        )
        for low, high in pairwise([start, *(start + 1 + breaks).tolist(), stop]):
            piece, first = self.pieces[self._piece[low]], int(self._position[low])
            fields, num_double = piece.read(slice(first, first + high - low))
            self.num_double += num_double
            parts.append(fields)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _require_each_time_once(self) -> None:
        double = np.flatnonzero(np.diff(self.seconds) == 0)
        if not double.size:
            return
        paths = {str(self.pieces[self._piece[double[0] + each]].opened.path.name) for each in (0, 1)}
        times = [time_text(self.calendar, int(self.seconds[position])) for position in double]
        raise DataError(
            f"each time of {self.name} must be there once, got {len(double):,} twice: {some(times, 3)} in "
            f"{' and '.join(sorted(paths))}; remove one of each"
        )


def _require_alike(name: str, pieces: list[Piece]) -> None:
    first = pieces[0]
    for piece in pieces[1:]:
        one, other = first.encoding.units, piece.encoding.units
        if not (one == other or _are_one_unit(first, one, other)):
            way_out = "convert one" if one and other else "write the attribute units"
            _refuse(name, "unit", (one or "none", other or "none"), (first, piece), way_out)
        levels, calendars = (first.level, piece.level), (first.calendar.name, piece.calendar.name)
        if str(levels[0]) != str(levels[1]):
            _refuse(name, "level", levels, (first, piece), "import them apart, or name the level")
        if calendars[0] != calendars[1]:
            _refuse(name, "calendar", calendars, (first, piece), "import them apart")
        if not piece.axes.grid.is_like(first.axes.grid):
            grids = (first.axes.grid, piece.axes.grid)
            _refuse(name, "grid", grids, (first, piece), "import them apart, or regrid one")


def _are_one_unit(piece: Piece, one: str, other: str) -> bool:
    """Returns whether units are spellings of one of those of the quantity, such as K and kelvin."""
    attributes = piece.opened.array.attrs
    quantity = quantity_of(piece.opened.name, str(attributes.get("standard_name", "")), one)
    return quantity is not None and any(
        bounds.is_called(one) and bounds.is_called(other) for bounds in quantity.bounds
    )


def _refuse(
    name: str, what: str, values: tuple[object, object], pieces: tuple[Piece, Piece], way_out: str
) -> NoReturn:
    got = " and ".join(
        f"{value} in {piece.opened.path.name}" for value, piece in zip(values, pieces, strict=True)
    )
    raise DataError(f"all files of {name} must have the same {what}, got {got}; {way_out}")


def _chunk(piece: Piece) -> int:
    chunks = piece.opened.array.encoding.get("chunksizes") or piece.opened.array.encoding.get("chunks")
    dims = piece.opened.array.dims
    return int(chunks[dims.index(piece.axes.time)]) if chunks else 1
