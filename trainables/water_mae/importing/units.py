"""Units of hydrological quantities: which can be converted into which, and by what."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from thalweg.data.bounds import Bounds
from thalweg.errors import DataError
from trainables.water_mae.knobs import MM_PER_DAY, PLAUSIBLE

MM_PER_DAY_OF_DISCHARGE = 86.4
"""Depth in mm/day of 1 m3/s over 1 km2."""


@dataclass(frozen=True)
class Unit:
    """A unit of a dimension: a value in the first unit of the dimension is value * scale + offset."""

    names: Bounds
    dimension: str
    scale: float = 1.0
    offset: float = 0.0


def _unit(dimension: str, names: str, scale: float = 1.0, offset: float = 0.0) -> Unit:
    first, *others = names.split("; ")
    return Unit(Bounds(first, 0, 0, tuple(others)), dimension, scale, offset)


_TEMPERATURE, _SOIL = PLAUSIBLE["temperature"], PLAUSIBLE["soil_moisture"]
UNITS = (
    Unit(Bounds("mm/day", 0, 0, (*MM_PER_DAY, "mm d^-1", "mm/24h", "l/m2")), "flux"),
    _unit("flux", "kg m-2 s-1; kg/m2/s; kg m**-2 s**-1; mm/s; mm s-1", 86_400.0),
    _unit("flux", "m/day; m d-1; m day-1; m; metre; m of water equivalent", 1000.0),
    _unit("flux", "cm/day; cm d-1; cm", 10.0),
    _unit("flux", "mm/h; mm h-1; mm hr-1; mm/hr; kg m-2 h-1", 24.0),
    _unit("flux", "m/s; m s-1", 86_400_000.0),
    _unit("flux", "in/day; inch/day; inches", 25.4),
    _unit("depth", "mm; kg m-2; kg/m2; mm w.e.; mm of water equivalent; millimetres; millimeters"),
    _unit("depth", "cm; centimetres; centimeters", 10.0),
    _unit("depth", "m; metre; metres; meter; meters; m of water equivalent", 1000.0),
    Unit(_TEMPERATURE[0], "temperature"),
    Unit(_TEMPERATURE[1], "temperature", 1.0, -273.15),
    _unit("temperature", "degF; F; fahrenheit; degrees fahrenheit", 5 / 9, -160 / 9),
    Unit(_SOIL[0], "share"),
    Unit(_SOIL[2], "share", 0.01),
    _unit("discharge", "m3/s; m3 s-1; m^3/s; m**3 s**-1; cumecs; cms"),
    _unit("discharge", "l/s; l s-1; litres/s", 0.001),
    _unit("discharge", "ft3/s; ft3 s-1; cfs; cubic feet per second", 0.028316846592),
    _unit("discharge", "m3/day; m3 d-1; m3/d", 1 / 86_400),
    _unit("discharge", "ML/day; ML/d; megalitres/day", 1000 / 86_400),
)


def is_discharge(unit: str) -> bool:
    """Returns whether a unit is a volume per time."""
    return any(each.dimension == "discharge" and each.names.is_called(unit) for each in UNITS)


def conversion(source: str, target: str) -> tuple[float, float] | None:
    """Returns scale and offset from one unit to another; None if they are not of one dimension."""
    if Bounds(target, 0, 0).is_called(source):
        return 1.0, 0.0
    for one in UNITS:
        for other in UNITS:
            if (
                one.dimension == other.dimension
                and one.names.is_called(source)
                and other.names.is_called(target)
            ):
                return one.scale / other.scale, (one.offset - other.offset) / other.scale
    return None


@dataclass(frozen=True)
class Converter:
    """Converts values of a quantity from the unit of a file.

    Attributes:
        source: Unit in the file, empty if it is not known.
        target: Unit to write.
        scale: Factor.
        offset: Added after the factor.
    """

    source: str
    target: str
    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Returns converted values, in their number format."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return values
        converted: Float[np.ndarray, "*shape"] = (
            values.astype(np.float64) * self.scale + self.offset
        ).astype(values.dtype)
        return converted

    @property
    def told(self) -> str:
        """A phrase on the conversion, or that the files declare no unit; empty if there is nothing to tell."""
        if not self.source:
            return f", unit not declared, taken as {self.target}" if self.target else ", unit not declared"
        changed = (self.scale, self.offset) != (1.0, 0.0)
        return f", converted from {self.source} to {self.target}" if changed else ""


def converter(name: str, where: object, source: str, wanted: str) -> Converter:
    """Returns the converter of a quantity.

    Args:
        name: The quantity.
        where: Origin of the values, for messages.
        source: Unit that the file declares, empty if none.
        wanted: Unit to write; empty takes the usual unit of a known quantity, or else that of the file.

    Raises:
        DataError: The unit cannot be converted into the wanted one.
    """
    usual = PLAUSIBLE[name][0].unit if name in PLAUSIBLE else source
    target = wanted or usual
    if not source:
        return Converter("", target)
    if not wanted and name in PLAUSIBLE:
        known = next((each for each in PLAUSIBLE[name] if each.is_called(source)), None)
        if known is not None and conversion(source, target) is None:
            return Converter(source, known.unit)  # soil water in mm is no share, but plausible as it is
    found = conversion(source, target)
    if found is None:
        raise DataError(
            f"{name} in {where} must be in a unit that can become {target}, got the declared unit {source!r}; "
            f"correct it with --option declared={name}=UNIT, or take another with --option units={name}=UNIT"
        )
    return Converter(source, target, *found)
