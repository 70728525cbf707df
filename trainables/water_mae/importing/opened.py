"""The fields and series of files that xarray reads, undecoded, and their axes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float32, Shaped

from thalweg.data.encoding import Encoding
from thalweg.data.faults import Faults
from thalweg.data.opening import OpenFiles, engine_of, one_chunk_at_a_time, without_uninitialised
from thalweg.errors import DataError

_OWN_LAYOUT = ".h5"
_TIME = ("time", "date", "day", "valid_time", "datetime")
_ROWS = ("y", "lat", "latitude", "northing", "projection_y_coordinate", "row", "rlat", "nav_lat")
_COLUMNS = ("x", "lon", "longitude", "easting", "projection_x_coordinate", "col", "column", "rlon")
_LATITUDES = ("latitude", "lat", "nav_lat")
_AMOUNTS = ("accum", "avg", "max", "min", "diff")  # GRIB's step types of what a span of time holds
_BOUNDS = ("bnds", "bounds", "nv", "nbnd", "nbnds", "bnd")
_GAUGES = (
    "gauge",
    "gauge_id",
    "station",
    "station_id",
    "id",
    "catchment",
    "catchment_id",
    "basin",
    "basin_id",
)


@dataclass(frozen=True)
class Variable:
    """A variable in time of one file.

    Attributes:
        name: What the file calls it.
        path: The file.
        array: Its numbers as stored, with its dimensions in the order time, rows, columns or time, gauges.
        days: Day of each time, dtype datetime64[D].
        encoding: What the stored numbers mean.
        gauges: Identifiers along the second dimension; None for a field.
        flipped: Whether rows go from south to north.
        axes: Coordinates of rows and columns; empty if the file has none.
        also: Another name by which GRIB knows it, such as ``2t``; empty if there is none.
        surplus: Dimensions that a field must not have, such as levels.
    """

    name: str
    path: Path
    array: xr.DataArray
    days: Shaped[np.ndarray, " day"]
    encoding: Encoding
    gauges: Shaped[np.ndarray, " gauge"] | None = None
    flipped: bool = False
    axes: tuple[Shaped[np.ndarray, " cell"], ...] = ()
    also: str = ""
    surplus: tuple[str, ...] = ()

    def lies_like(self, other: "Variable") -> bool:
        """Returns whether two fields have one shape, and one set of coordinates where both have any."""
        if self.array.shape[1:] != other.array.shape[1:]:
            return False
        pairs = zip(self.axes, other.axes, strict=False)
        return all(np.allclose(one, another, rtol=0, atol=_step(one) / 100) for one, another in pairs)

    def read(self, positions: slice) -> Float32[np.ndarray, "day ..."]:
        """Returns physical values of some times, NaN for missing data; the first row is the northern one.

        Raises:
            DataError: The file is damaged.
        """
        try:
            with one_chunk_at_a_time(self.path):
                stored = self.array[positions].values
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.path} must be whole, got {type(error).__name__}: {error}; copy it again"
            ) from None
        values: Float32[np.ndarray, "day ..."] = self.encoding.decode(stored)
        return np.flip(values, axis=1) if self.flipped else values


def sources(folder: Path) -> list[Path]:
    """Returns the files and Zarr stores of a folder, or the one that it is itself.

    Raises:
        DataError: A file cannot be read.
    """
    if engine_of(folder):
        return [folder]
    if not folder.is_dir():
        return []
    inside = (path for path in sorted(folder.rglob("*")) if not path.name.startswith("."))
    found: list[Path] = []
    for path in inside:
        if path.suffix != _OWN_LAYOUT and engine_of(path) and not any(each in path.parents for each in found):
            found.append(path)
    return found


def variables(paths: Iterable[Path], files: OpenFiles) -> list[Variable]:
    """Returns all fields and series in time of files.

    Raises:
        DataError: Some are damaged; reported for all files at once.
    """
    faults, found = Faults(), []
    for path in paths:
        with faults.collected():
            for dataset, short in files.datasets(path, decode_times=True):
                tried = [
                    _variable(str(name), array, dataset, path) for name, array in dataset.data_vars.items()
                ]
                own = [replace(each, also=short) for each in tried if each is not None]
                if all(each.gauges is not None for each in own):  # thousands of gauges: too many open files
                    own = [replace(each, array=each.array.load()) for each in own]
                    dataset.close()
                found += own
    faults.raise_if_any()
    return found


def _variable(name: str, array: xr.DataArray, dataset: xr.Dataset, path: Path) -> Variable | None:
    """Returns a variable with its axes in order; None if it is no number in time and space.

    Raises:
        DataError: Its times are no days, or it is GRIB without rows and columns.
    """
    array = _plain_axes(array, dataset)
    time, rows, columns, gauges = (_axis(array, roles) for roles in (_TIME, _ROWS, _COLUMNS, _GAUGES))
    if array.dtype.kind not in "fiu" or time is None:
        return None
    array = without_uninitialised(array, path)
    encoding = Encoding.of(array.attrs, array.dtype, f"{name} in {path}", is_netcdf=path.is_file())
    days = partial(_days, dataset, time, path, is_amount=array.attrs.get("GRIB_stepType") in _AMOUNTS)
    if rows and columns:
        surplus = tuple(str(dim) for dim in array.dims if dim not in (time, rows, columns))
        ordered = array.transpose(time, rows, columns, *surplus)
        axes = tuple(dataset[dim].values for dim in (rows, columns) if dim in dataset.variables)
        axes = axes if len(axes) == 2 and all(each.dtype.kind in "fiu" for each in axes) else ()
        flipped = _ascends(dataset, rows)
        return Variable(name, path, ordered, days(), encoding, flipped=flipped, axes=axes, surplus=surplus)
    if engine_of(path) == "cfgrib":
        raise DataError(
            f"{name} in {path} must lie on a grid of rows and columns, got the dimensions "
            f"{', '.join(map(str, array.dims))}; interpolate it to a regular grid first, as `cdo remapbil` does"
        )
    if array.ndim == 1:  # the file of one gauge, whose name it has
        one = array.expand_dims("gauge", axis=1)
        return Variable(name, path, one, days(), encoding, np.array([path.stem]))
    others = [str(dim) for dim in array.dims if dim != time and str(dim).casefold() not in _BOUNDS]
    if array.ndim == 2 and (gauges or others):
        gauge = gauges or others[0]
        ids = _identifiers(dataset, gauge)
        return Variable(name, path, array.transpose(time, gauge), days(), encoding, ids)
    return None


def _plain_axes(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """Returns a field with an axis of time, as a file of one day may lack it, and without axes of length 1."""
    if not (_axis(array, _ROWS) and _axis(array, _COLUMNS)):
        return array
    if _axis(array, _TIME) is None:
        scalars = [name for name in _TIME if name in dataset.coords and dataset[name].ndim == 0]
        return array.expand_dims(scalars[0]) if scalars else array
    kept = (*_TIME, *_ROWS, *_COLUMNS)
    single = [dim for dim in array.dims if array.sizes[dim] == 1 and str(dim).casefold() not in kept]
    return array.squeeze(single, drop=True)


def _axis(array: xr.DataArray, names: tuple[str, ...]) -> str | None:
    return next((str(dim) for dim in array.dims if str(dim).casefold() in names), None)


def _step(axis: Shaped[np.ndarray, " cell"]) -> float:
    """Returns the mean distance between two cells."""
    return float(np.abs(axis[-1] - axis[0]) / max(len(axis) - 1, 1)) if len(axis) else 1.0


def _ascends(dataset: xr.Dataset, rows: str) -> bool:
    """Returns whether the first row is the southern one, by the axis of rows or, on curved grids, by latitudes."""
    if rows in dataset.variables:
        values = dataset[rows].values
    else:
        curved = [
            dataset[name].transpose(rows, ...) for name in _LATITUDES if _is_of_rows(dataset, name, rows)
        ]
        values = np.nanmean(curved[0].values, axis=1) if curved else np.zeros(0)
    return bool(len(values) > 1 and values.dtype.kind in "fiu" and values[0] < values[-1])


def _is_of_rows(dataset: xr.Dataset, name: str, rows: str) -> bool:
    return name in dataset.variables and dataset[name].ndim == 2 and rows in dataset[name].dims


def _identifiers(dataset: xr.Dataset, gauge: str) -> Shaped[np.ndarray, " gauge"]:
    """Returns the identifiers of gauges: the coordinate of the axis, or a variable of text along it."""
    named = [name for name in (*dataset.coords, *dataset.data_vars) if dataset[name].dims == (gauge,)]
    likely = [name for name in named if str(name).casefold() in _GAUGES]
    chosen = likely[0] if likely else next(iter(named), None)
    if chosen is None:
        return np.arange(1, dataset.sizes[gauge] + 1)
    values = dataset[chosen].values
    if values.dtype.kind in "iu":
        numbers: Shaped[np.ndarray, " gauge"] = values.astype(np.int64)
        return numbers
    text = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values]
    return np.array(text)


def _days(dataset: xr.Dataset, time: str, path: Path, *, is_amount: bool) -> Shaped[np.ndarray, " day"]:
    """Returns the day of each time.

    Raises:
        DataError: Times are not days of the standard calendar, each once and in order.
    """
    times = _times(dataset, time, is_amount=is_amount)
    if times.dtype.kind != "M":
        raise DataError(
            f"{time} of {path} must hold times of the standard calendar, such as days since 1980-01-01, got "
            f"{_calendar(dataset, time) if len(times) else 'no coordinate'}; write them by CF"
        )
    days: Shaped[np.ndarray, " day"] = times.astype("datetime64[D]")
    steps = np.diff(days) / np.timedelta64(1, "D")
    if len(steps) and (steps <= 0).any():
        where = int(np.flatnonzero(steps <= 0)[0])
        raise DataError(
            f"{time} of {path} must be daily and in order, got {_minute(times[where])} before "
            f"{_minute(times[where + 1])}; write means or sums of days, as `cdo daymean` and `daysum` do"
        )
    return days


def _calendar(dataset: xr.Dataset, time: str) -> str:
    calendar = dataset[time].encoding.get("calendar") or dataset[time].attrs.get("calendar")
    return f"the calendar {calendar}" if calendar else str(dataset[time].dtype)


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]"))


def _times(dataset: xr.Dataset, time: str, *, is_amount: bool) -> Shaped[np.ndarray, " time"]:
    """Returns the times for which values are valid; GRIB's amounts that end at midnight are of the day before."""
    if time not in dataset.variables:
        return np.zeros(0)
    times = np.atleast_1d(dataset[time].values)
    valid = dataset.variables.get("valid_time")
    if "step" not in dataset.variables or valid is None or valid.dims not in ((), (time,)):
        return times
    ends = np.atleast_1d(valid.values)
    return ends - np.where(ends > times, np.timedelta64(1, "s"), 0) if is_amount else ends
