"""The files of a data set folder: a netCDF file for each variable, and ``fields.json``.

``VARIABLE.nc`` holds the variable as float32 (time, longitude, latitude), or (time, x, y) in metres, NaN for missing
data; ``time`` in days since 1970-01-01 in the calendar of the data set, ascending; ascending axes, longitudes from
[-180, 180) on, beyond 180 across the date line; a scalar coordinate ``level`` if the variable has one. All variables
have the same days. ``fields.json`` names the variables in order with unit, level and grid, the calendar, and where the
data come from.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
from jaxtyping import Float32, Int64

from thalweg.data.faults import Faults
from thalweg.data.hdf5 import unreadable
from thalweg.errors import DataError
from trainables.geo_contrastive.data.calendars import Calendar, calendar_of
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.knobs import NAME_RULE, is_name

FORMAT = 1
"""Version of the layout."""
TABLE = "fields.json"
TAKEN = frozenset(("time", "longitude", "latitude", "level"))
"""Names of coordinates, which no variable can have; on a projected grid, x and y are taken as well."""
BLOCK_VALUES = 1 << 22
"""Values that are in memory at a time, 16 MiB in single precision; at least a day is."""

_UNITS = "days since 1970-01-01"
_CHUNK_VALUES = 1 << 18
_MAX_CHUNK_DAYS = 366
_AXES = {True: ("longitude", "latitude"), False: ("x", "y")}
_AXIS_UNITS = {"longitude": "degrees_east", "latitude": "degrees_north", "x": "m", "y": "m"}
_AXIS_NAMES = {"x": "projection_x_coordinate", "y": "projection_y_coordinate"}


@dataclass(frozen=True)
class Described:
    """What ``fields.json`` says of a variable.

    Attributes:
        name: Name of the variable and of its file.
        unit: Unit, empty if it is not known.
        grid: Name of the grid.
        level: Level with its unit, such as ``850 hPa``; None if it has none.
        long_name: What it is, for people.
        quantity: Its physical quantity, see `quantities`, of which values are checked; empty if there is none.
    """

    name: str
    unit: str
    grid: str
    level: str | None = None
    long_name: str = ""
    quantity: str = ""


@dataclass(frozen=True)
class Contents:
    """What ``fields.json`` says.

    Attributes:
        variables: The variables in order.
        calendar: Their calendar.
        origin: Where the data come from, for people.
    """

    variables: Mapping[str, Described]
    calendar: Calendar
    origin: str = ""


@dataclass(frozen=True)
class FieldFile:
    """The file of a variable, whose header has been checked.

    Attributes:
        path: The file.
        described: What it holds.
        grid: Its grid.
        days: Its days.
    """

    path: Path
    described: Described
    grid: Grid
    days: Int64[np.ndarray, " day"]

    def blocks(self, stop: int | None = None) -> Iterator[tuple[int, Float32[np.ndarray, "day lon lat"]]]:
        """Yields pieces of some days with the position of their first day.

        Args:
            stop: Position of the day before which to end; None reads all.

        Raises:
            DataError: The file is damaged.
        """
        end = len(self.days) if stop is None else stop
        step = block_days(self.grid.shape)
        try:
            with h5netcdf.File(self.path, "r") as file:
                values = file[self.described.name]
                for first in range(0, end, step):
                    yield first, np.asarray(values[first : min(first + step, end)])
        except (OSError, RuntimeError) as error:
            raise unreadable(self.path, error) from None


def block_days(shape: tuple[int, int], values: int = BLOCK_VALUES) -> int:
    """Returns how many days of a grid are in memory at a time."""
    chunk = _chunk_days(shape)
    return max(values // (shape[0] * shape[1]) // chunk, 1) * chunk


def write_variable(
    folder: Path,
    described: Described,
    grid: Grid,
    days: Int64[np.ndarray, " day"],
    calendar: Calendar,
    blocks: Iterable[Float32[np.ndarray, "_piece lon lat"]],
) -> None:
    """Writes the file of a variable; the blocks follow one another and add up to the days."""
    axes = _AXES[grid.geographic]
    with h5netcdf.File(folder / f"{described.name}.nc", "w") as file:
        file.attrs["Conventions"] = "CF-1.11"
        file.dimensions = {"time": len(days), axes[0]: grid.shape[0], axes[1]: grid.shape[1]}
        time = file.create_variable("time", ("time",), np.int64, data=days)
        time.attrs.update({"units": _UNITS, "calendar": calendar.name, "standard_name": "time", "axis": "T"})
        for name, letter, centres in zip(axes, "XY", (grid.first, grid.second), strict=True):
            axis = file.create_variable(name, (name,), np.float64, data=centres)
            axis.attrs.update(
                {"units": _AXIS_UNITS[name], "standard_name": _AXIS_NAMES.get(name, name), "axis": letter}
            )
        chunks = (min(_chunk_days(grid.shape), len(days)), *grid.shape)
        target = file.create_variable(
            described.name, ("time", *axes), np.float32, chunks=chunks, fillvalue=np.float32(np.nan)
        )
        target.attrs.update({"units": described.unit, "long_name": described.long_name})
        if described.level is not None:
            value, unit = described.level.split()
            level = file.create_variable("level", (), np.float64, data=np.float64(value))
            level.attrs["units"] = unit
            target.attrs["coordinates"] = "level"
        first = 0
        for block in blocks:
            target[first : first + len(block)] = block
            first += len(block)
    if first != len(days):
        raise ValueError(f"{described.name} has {len(days)} days, got {first}")


def write_table(folder: Path, variables: Sequence[Described], calendar: Calendar, origin: str) -> None:
    """Writes ``fields.json``."""
    table = {
        "format": FORMAT,
        "calendar": calendar.name,
        "variables": [asdict(each) for each in variables],
        "origin": origin,
    }
    (folder / TABLE).write_text(f"{json.dumps(table, indent=1)}\n")


def read_table(folder: Path) -> Contents:
    """Reads ``fields.json``.

    Raises:
        DataError: The folder is missing, or holds no data set.
    """
    path = folder / TABLE
    if not path.is_file():
        raise DataError(
            f"a data set must be a folder with {TABLE}, got none at {folder}; `thalweg data make geo_contrastive` "
            "writes a synthetic one, `thalweg data import weather-fields SOURCE` reads files of one's own"
        )
    try:
        table: dict[str, Any] = json.loads(path.read_text())
        if table["format"] != FORMAT:
            raise DataError(
                f"{path} must have the format {FORMAT}, got {table['format']}; import the data set again"
            )
        variables = [Described(**each) for each in table["variables"]]
        calendar = calendar_of(table["calendar"], path)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} must be as `thalweg data import` writes it, got {type(error).__name__}: {error}; import again"
        ) from None
    if odd := [each.name for each in variables if not is_name(each.name)]:
        raise DataError(
            f"{path} must name variables by {NAME_RULE}, got {odd[0]!r}; rename it there, and in and of its file"
        )
    return Contents({each.name: each for each in variables}, calendar, table.get("origin", ""))


def find_fields(folder: Path, contents: Contents, names: Sequence[str]) -> dict[str, Path]:
    """Returns the files of variables.

    Raises:
        DataError: The data set has no such variable, or lacks its file.
    """
    faults = Faults()
    if absent := [name for name in names if name not in contents.variables]:
        got, there = ", ".join(map(repr, absent)), ", ".join(contents.variables)
        faults.add(
            f"{folder} must hold each variable of data.variables, got no {got}; there are {there}, to be named in "
            f'a search space: vary(data={{"variables": {tuple(contents.variables)}}})'
        )
    for name in names:
        if name not in absent and not (folder / f"{name}.nc").is_file():
            faults.add(f"{folder} must hold {name}.nc, got no such file; import the data set again")
    faults.raise_if_any()
    return {name: folder / f"{name}.nc" for name in names}


def open_field(path: Path, described: Described, calendar: Calendar) -> FieldFile:
    """Checks the header of a variable's file; reads axes and days, not the fields.

    Raises:
        DataError: The file cannot be read, or is not of the layout; duplicate days are named.
    """
    name = described.name
    try:
        with h5netcdf.File(path, "r") as file:
            geographic = "longitude" in file.variables
            axes = _AXES[geographic]
            dimensions = ("time", *axes)
            missing = [each for each in (*dimensions, name) if each not in file.variables]
            if missing or file[name].dimensions != dimensions or file[name].dtype != np.float32:
                raise DataError(
                    f"{path} must hold {name} as float32 {dimensions}, got "
                    f"{f'no {missing[0]}' if missing else f'{file[name].dtype} {file[name].dimensions}'}; import again"
                )
            days = np.asarray(file["time"][:]).astype(np.int64)
            first, second = (np.asarray(file[axis][:]).astype(np.float64) for axis in axes)
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None
    _require_ascending(path, days, calendar)
    for axis, centres in zip(axes, (first, second), strict=True):
        if not len(centres) or not (np.diff(centres) > 0).all():
            raise DataError(f"{axis} of {path} must ascend, got {centres[:3].tolist()} first; import again")
    return FieldFile(path, described, Grid(described.grid, first, second, geographic), days)


def _require_ascending(path: Path, days: Int64[np.ndarray, " day"], calendar: Calendar) -> None:
    if not len(days):
        raise DataError(f"{path} must hold days, got none; import again")
    for before, after in pairwise(days.tolist()):
        if after <= before:
            fault = "twice" if after == before else f"after {calendar.text(before)}"
            raise DataError(
                f"days of {path} must ascend without duplicates, got {calendar.text(after)} {fault}; "
                "write each day once"
            )


def _chunk_days(shape: tuple[int, int]) -> int:
    return min(max(_CHUNK_VALUES // (shape[0] * shape[1]), 1), _MAX_CHUNK_DAYS)
