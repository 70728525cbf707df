"""Finds time, place and level among the dimensions of a variable, by CF attributes and by usual names.

Source: CF conventions 1.11, chapters 4 (coordinate types) and 5 (coordinate systems).
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float64, Int64

from thalweg.errors import DataError
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.importing.opening import Opened

_TIME, _LON, _LAT, _X, _Y, _LEVEL = "time", "longitude", "latitude", "x", "y", "level"
_STANDARD = {
    "time": _TIME,
    "longitude": _LON,
    "latitude": _LAT,
    "projection_x_coordinate": _X,
    "projection_y_coordinate": _Y,
    "air_pressure": _LEVEL,
    "height": _LEVEL,
    "altitude": _LEVEL,
    "depth": _LEVEL,
}
_DEGREES = {
    **{f"degree{s}_{end}": _LON for s in ("", "s") for end in ("east", "e")},
    **{f"degree{s}_{end}": _LAT for s in ("", "s") for end in ("north", "n")},
}
_NAMES = {
    _TIME: r"(valid_)?time",
    _LON: r"(lon|longitude)(_?\d+)?",
    _LAT: r"(lat|latitude)(_?\d+)?",
    _X: r"x|eastings?|projection_x_coordinate",
    _Y: r"y|northings?|projection_y_coordinate",
    _LEVEL: r"lev|levels?|plev|pressure(_levels?)?|isobaricinhpa|isobaricinpa|height(_?\d+m?)?|depth|"
    r"heightaboveground|model_level|hybrid|z_?lev",
}
_ROTATED = {"grid_longitude", "grid_latitude"}
_PRESSURES = {"pa", "hpa", "mb", "mbar", "millibar", "millibars"}
_CIRCLE = 360.0
_DIGITS = 6  # of coordinates: degrees in single precision are good to no more
_OPEN = 1.5  # longitudes leave the circle open at a gap of so many usual steps
_METRES = {
    **dict.fromkeys(("", "m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("km", "kilometre", "kilometres", "kilometer", "kilometers"), 1000.0),
}


@dataclass(frozen=True)
class Axes:
    """The dimensions of a variable.

    Attributes:
        time: Dimension of time.
        level: Dimension or scalar coordinate of the level, None if it has none.
        grid: The grid, named by its shape.
        dimensions: Dimensions of the grid's two axes.
        orders: Positions along each of them, in the order of the grid.
        others: Remaining dimensions.
    """

    time: str
    level: str | None
    grid: Grid
    dimensions: tuple[str, str]
    orders: tuple[Int64[np.ndarray, " lon"], Int64[np.ndarray, " lat"]]
    others: tuple[str, ...]


def find_axes(opened: Opened) -> Axes | None:
    """Returns the axes of a variable; None if it is no field in time, such as a static mask.

    Raises:
        DataError: Its grid is not regular.
    """
    array, where = opened.array, f"{opened.name} in {opened.path}"
    roles = {str(dim): _role(str(dim), opened.dataset.variables.get(dim)) for dim in array.dims}
    found = {role: dim for dim, role in roles.items() if role}
    _refuse_rotated(opened, where)
    if _TIME not in found:
        return None
    if found[_TIME] not in opened.dataset.variables:
        raise DataError(
            f"{found[_TIME]} of {where} must have coordinates, got none; add a variable {found[_TIME]} with the times"
        )
    geographic = _LON in found and _LAT in found
    if not geographic and not (_X in found and _Y in found):
        curved = any(
            variable.ndim == 2 and _role(str(name), variable) in (_LON, _LAT)
            for name, variable in opened.dataset.variables.items()
        )
        raise DataError(
            f"{where} must lie on a regular grid of longitudes and latitudes, or of x and y in metres, got "
            f"{'longitudes and latitudes that are no axes, and ' if curved else ''}the dimensions "
            f"{', '.join(map(str, array.dims))}; "
            f"{'regrid it first' if curved else 'take a gridded file, or name the coordinates by CF'}"
        )
    names = (_LON, _LAT) if geographic else (_X, _Y)
    dimensions = (found[names[0]], found[names[1]])
    values = [_values(opened, dim, where) for dim in dimensions]
    if not geographic:
        values = [_in_metres(each, opened, dim, where) for each, dim in zip(values, dimensions, strict=True)]
    along = _longitudes(values[0], where) if geographic else _ascending(values[0], dimensions[0], where)
    across = _ascending(values[1], dimensions[1], where)
    if geographic and (np.abs(across[0]) > 90).any():
        raise DataError(f"latitudes of {where} must lie within 90, got {across[0][[0, -1]].tolist()}")
    level = found.get(_LEVEL) or _scalar_level(opened)
    taken = {found[_TIME], *dimensions, level}
    return Axes(
        time=found[_TIME],
        level=level,
        grid=Grid(f"{len(along[0])}x{len(across[0])}", along[0], across[0], geographic),
        dimensions=dimensions,
        orders=(along[1], across[1]),
        others=tuple(str(dim) for dim in array.dims if dim not in taken),
    )


def _role(name: str, variable: xr.Variable | None) -> str:
    """Returns what a coordinate is, empty if nothing tells."""
    attributes = {} if variable is None else variable.attrs
    standard = str(attributes.get("standard_name", "")).casefold()
    units = str(attributes.get("units", "")).casefold()
    if standard in _STANDARD:
        return _STANDARD[standard]
    if units in _DEGREES:
        return _DEGREES[units]
    if " since " in units and name.casefold() not in ("forecast_reference_time", "forecast_period"):
        return _TIME
    for role, pattern in _NAMES.items():
        if re.fullmatch(pattern, name.casefold()):
            return role
    if units in _PRESSURES:  # CF 4.3: a dimension in units of pressure is vertical
        return _LEVEL
    by_axis = {"T": _TIME, "X": _X, "Y": _Y, "Z": _LEVEL}
    return by_axis.get(str(attributes.get("axis", "")).upper(), "")


def _refuse_rotated(opened: Opened, where: str) -> None:
    axes = [opened.dataset.variables.get(dim) for dim in opened.array.dims]
    names = {axis.attrs.get("standard_name") for axis in axes if axis is not None}
    mapping = str(opened.array.attrs.get("grid_mapping", opened.array.encoding.get("grid_mapping", "")))
    projection = opened.dataset.variables.get(mapping)
    about = {} if projection is None else projection.attrs
    if names & _ROTATED or str(about.get("grid_mapping_name", "")).startswith("rotated"):
        raise DataError(
            f"{where} must lie on a regular grid of longitudes and latitudes, got one around a rotated pole; "
            "regrid it first"
        )


def _values(opened: Opened, dim: str, where: str) -> Float64[np.ndarray, " cell"]:
    variable = opened.dataset.variables.get(dim)
    if variable is None or variable.ndim != 1 or variable.dtype.kind not in "fiu":
        raise DataError(
            f"{dim} of {where} must have coordinates, got none; add a variable {dim} with the centres of the cells"
        )
    values: Float64[np.ndarray, " cell"] = np.round(np.asarray(variable.values, np.float64), _DIGITS)
    if not len(values) or not np.isfinite(values).all():
        raise DataError(f"{dim} of {where} must be finite numbers, got {values[:5].tolist()} first")
    return values


def _in_metres(
    values: Float64[np.ndarray, " cell"], opened: Opened, dim: str, where: str
) -> Float64[np.ndarray, " cell"]:
    """Returns a projected axis in metres, of which an axis without a unit is if it is too long for degrees."""
    units = str(opened.dataset.variables[dim].attrs.get("units", ""))
    metres = _METRES.get(units.strip().casefold())
    if metres is None or (not units and np.abs(values).max() <= _CIRCLE):
        raise DataError(
            f"{dim} of {where} must be in m or km, or be a longitude or latitude by its units degrees_east or "
            f"degrees_north, got the units {units!r} and {values[0]:g} to {values[-1]:g}; correct the attribute units"
        )
    return values * metres


def _ascending(
    values: Float64[np.ndarray, " cell"], dim: str, where: str
) -> tuple[Float64[np.ndarray, " cell"], Int64[np.ndarray, " cell"]]:
    order = np.arange(len(values))
    if len(values) > 1 and values[0] > values[-1]:
        order = order[::-1]
    if not (np.diff(values[order]) > 0).all():
        raise DataError(
            f"{dim} of {where} must ascend or descend throughout, got {values[:5].tolist()} first; sort the file"
        )
    return values[order], order


def _longitudes(
    values: Float64[np.ndarray, " cell"], where: str
) -> tuple[Float64[np.ndarray, " kept"], Int64[np.ndarray, " kept"]]:
    """Sorts longitudes: around the globe from -180, else from the western end, which lies in [-180, 180).

    A longitude that is there twice, such as 0 and 360, is taken once.
    """
    east = np.round((values + 180.0) % 360.0 - 180.0, _DIGITS)
    east[east == 180.0] = -180.0
    sorted_east, order = np.unique(east, return_index=True)
    if len(values) - len(sorted_east) > 1:
        raise DataError(
            f"longitudes of {where} must differ, got {values[:5].tolist()} first; write each once"
        )
    gaps = np.diff(np.append(sorted_east, sorted_east[0] + 360.0))
    widest = int(gaps.argmax())
    if len(sorted_east) == 1 or gaps[widest] <= _OPEN * np.median(gaps):
        return sorted_east, order
    start = (widest + 1) % len(sorted_east)
    rolled = np.roll(sorted_east, -start)
    rolled[rolled < rolled[0]] += 360.0
    return rolled, np.roll(order, -start)


def _scalar_level(opened: Opened) -> str | None:
    for name in _of_array(opened):
        variable = opened.dataset.variables[name]
        if variable.ndim == 0 and _role(str(name), variable) == _LEVEL:
            return str(name)
    return None


def _of_array(opened: Opened) -> list[Hashable]:
    """Returns the names of coordinates that belong to a variable."""
    named = str(opened.array.attrs.get("coordinates", opened.array.encoding.get("coordinates", ""))).split()
    return [*opened.array.coords, *(name for name in named if name in opened.dataset.variables)]
