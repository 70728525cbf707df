"""Levels of variables, by value and unit: a variable is never taken at another level than the named one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
_NUMBERED = (
    r"model[_ ]level|hybrid|sigma|number"  # names of levels that follow the ground, which have no pressure
)
_MAX_HPA = 1100.0


class AbsentLevel(DataError):
    """A file lacks the level that is wanted."""


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

    @property
    def name(self) -> str:
        """What selects the level: ``850hPa``, or ``17``."""
        return f"{self.value:g}{'' if self.unit == '1' else self.unit}"

    @property
    def told(self) -> str:
        """The level for people."""
        return f"level {self.value:g}" if self.unit == "1" else str(self)

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

    Levels of a model are numbers. A pressure without a unit is in hPa if all values are at most 1100, else in Pa.

    Raises:
        DataError: The levels have a unit that is not known.
    """
    if axes.level is None:
        return []
    coordinate = opened.dataset.variables.get(axes.level)
    if coordinate is None:
        return [Level(float(number), "1") for number in range(opened.array.sizes[axes.level])]
    values = np.atleast_1d(np.asarray(coordinate.values, np.float64))
    unit, factor = _unit_of(axes.level, coordinate.attrs, values, f"{opened.name} in {opened.path}")
    return [Level(round(float(value) * factor, 6), unit) for value in values]


def _unit_of(
    name: str, attributes: Mapping[str, Any], values: Float64[np.ndarray, " level"], where: str
) -> tuple[str, float]:
    units = str(attributes.get("units", ""))
    plain = units.strip().casefold()
    if plain in _UNITS:
        return _UNITS[plain]
    if plain in ("", "1", "level", "~"):
        told = " ".join(str(attributes.get(each, "")) for each in ("standard_name", "long_name")).casefold()
        if not re.fullmatch(_PRESSURE_NAMES, name.casefold()) or re.search(_NUMBERED, told):
            return "1", 1.0
        return ("hPa", 1.0) if values.max() <= _MAX_HPA else ("hPa", 0.01)
    raise DataError(
        f"levels of {where} must be in hPa, Pa, m or km, got {units!r}; correct the attribute units of {name}"
    )


def pick(levels: list[Level], wanted: Level | None, where: str) -> int | None:
    """Returns the position of the wanted level; None if there are no levels and none is wanted.

    Raises:
        AbsentLevel: The wanted level is not there.
        DataError: There are several levels, and none is wanted.
    """
    there = ", ".join(level.told for level in levels)
    if wanted is None:
        if len(levels) > 1:
            raise DataError(
                f"the level of {where} must be named, got none for {there}; write NAME@{levels[-1].name}"
            )
        return 0 if levels else None
    for position, level in enumerate(levels):
        if level.is_like(wanted):
            return position
    of = f"{wanted.value:g} without a unit" if wanted.unit == "1" else str(wanted)
    raise AbsentLevel(
        f"{where} must have the level {of}, got {there or 'no level'}; "
        f"{f'name one of these, such as @{levels[-1].name}' if levels else 'leave the level out'}"
    )
