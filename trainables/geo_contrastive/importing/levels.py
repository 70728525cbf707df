"""Levels of variables, by value and unit: a variable is never taken at another level than the named one."""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from thalweg.errors import ConfigError, DataError
from trainables.geo_contrastive.importing.axes import Axes
from trainables.geo_contrastive.importing.opening import Opened

_TOLERANCE = 1e-4  # relative: 850.0001 hPa is 850 hPa
_UNITS = {
    "hpa": ("hPa", 1.0),
    "mb": ("hPa", 1.0),
    "mbar": ("hPa", 1.0),
    "millibar": ("hPa", 1.0),
    "millibars": ("hPa", 1.0),
    "pa": ("hPa", 0.01),
    "m": ("m", 1.0),
    "metre": ("m", 1.0),
    "metres": ("m", 1.0),
    "meters": ("m", 1.0),
    "km": ("m", 1000.0),
}
_PRESSURE_NAMES = r"plev|pressure(_levels?)?|isobaricin\w+|levels?"
_MAX_HPA = 1100.0


@dataclass(frozen=True)
class Level:
    """A level.

    Attributes:
        value: Its value.
        unit: ``hPa``, ``m``, or ``1`` for the number of a level.
    """

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"

    def is_like(self, other: "Level") -> bool:
        """Returns whether both are the same, up to rounding."""
        return self.unit == other.unit and abs(self.value - other.value) <= _TOLERANCE * abs(other.value)


def parse_level(text: str) -> Level:
    """Reads a level such as ``850hPa``, ``85000 Pa``, ``2m``, or ``17`` for the number of a model level.

    Raises:
        ConfigError: It is none.
    """
    match = re.fullmatch(r"\s*([\d.]+(?:[eE]\d+)?)\s*([A-Za-z]*)\s*", text)
    name = match[2].casefold() if match else "?"
    if match is None or (name and name not in _UNITS):
        raise ConfigError(f"a level must be a number with a unit, hPa, Pa, m or km, got {text!r}; try 850hPa")
    unit, factor = _UNITS.get(name, ("1", 1.0))
    return Level(float(match[1]) * factor, unit)


def levels_of(opened: Opened, axes: Axes) -> list[Level]:
    """Returns the levels of a variable in the order of the file; an empty list if it has none.

    A pressure without a unit is in hPa if all values are at most 1100, else in Pa.

    Raises:
        DataError: The levels have a unit that is not known.
    """
    if axes.level is None:
        return []
    coordinate = opened.dataset.variables.get(axes.level)
    if coordinate is None:
        return [Level(float(number), "1") for number in range(opened.array.sizes[axes.level])]
    values = np.atleast_1d(np.asarray(coordinate.values, np.float64))
    unit, factor = _unit_of(
        axes.level, str(coordinate.attrs.get("units", "")), values, f"{opened.name} in {opened.path}"
    )
    return [Level(round(float(value) * factor, 6), unit) for value in values]


def _unit_of(name: str, units: str, values: Float64[np.ndarray, " level"], where: str) -> tuple[str, float]:
    plain = units.strip().casefold()
    if plain in _UNITS:
        return _UNITS[plain]
    if plain in ("", "1", "level", "~") and re.fullmatch(_PRESSURE_NAMES, name.casefold()):
        return ("hPa", 1.0) if values.max() <= _MAX_HPA else ("hPa", 0.01)
    if plain in ("", "1", "level", "~"):
        return "1", 1.0
    raise DataError(
        f"levels of {where} must be in hPa, Pa, m or km, got {units!r}; correct the attribute units of {name}"
    )


def pick(levels: list[Level], wanted: Level | None, where: str) -> int | None:
    """Returns the position of the wanted level; None if there are no levels and none is wanted.

    Raises:
        DataError: Several levels and none named, or the named one is not there.
    """
    there = ", ".join(map(str, levels))
    if wanted is None:
        if len(levels) > 1:
            raise DataError(
                f"the level of {where} must be named, got none for {there}; "
                f"write NAME@{str(levels[-1]).replace(' ', '')}"
            )
        return 0 if levels else None
    for position, level in enumerate(levels):
        if level.is_like(wanted):
            return position
    of = f"{wanted.value:g} without a unit" if wanted.unit == "1" else str(wanted)
    raise DataError(
        f"{where} must have the level {of}, got {there or 'no level'}; "
        f"{'name one of these, with its unit' if levels else 'leave the level out'}"
    )
