"""Physical quantities that weather fields hold, with their plausible ranges by unit."""

import re
from dataclasses import dataclass

from thalweg.data.bounds import Bounds


@dataclass(frozen=True)
class Quantity:
    """A quantity, found by the standard name of a variable or by its usual names.

    Attributes:
        name: For messages.
        standard_names: CF standard names.
        short_names: Usual names in files, without a level.
        bounds: Plausible range in each unit.
    """

    name: str
    standard_names: frozenset[str]
    short_names: frozenset[str]
    bounds: tuple[Bounds, ...]


def _quantity(name: str, standard: str, short: str, *bounds: Bounds) -> Quantity:
    return Quantity(name, frozenset(standard.split()), frozenset(short.split()), bounds)


QUANTITIES = (
    _quantity(
        "temperature",
        "air_temperature dew_point_temperature sea_surface_temperature surface_temperature",
        "t t2m 2t tas ta tasmin tasmax 2m_temperature temperature air_temperature d2m 2d tdps sst skt mx2t mn2t air",
        Bounds("K", 130, 370, ("kelvin", "degK", "degrees_K")),
        Bounds(
            "degC",
            -143,
            97,
            ("celsius", "C", "\N{DEGREE SIGN}C", "degrees_celsius", "degree_C", "degrees_C", "deg C"),
        ),
    ),
    _quantity(
        "pressure",
        "air_pressure_at_sea_level air_pressure_at_mean_sea_level surface_air_pressure",
        "msl slp psl ps sp prmsl mean_sea_level_pressure surface_pressure",
        Bounds("Pa", 40_000, 111_000, ("pascal", "pascals")),
        Bounds("hPa", 400, 1_110, ("mb", "mbar", "millibar", "millibars")),
    ),
    _quantity(
        "precipitation",
        "precipitation_flux precipitation_amount lwe_thickness_of_precipitation_amount lwe_precipitation_rate "
        "convective_precipitation_flux",
        "tp pr precipitation precip total_precipitation total_precipitation_6hr total_precipitation_24hr rain rainfall "
        "prate mtpr",
        Bounds(
            "mm day-1", 0, 3_000, ("mm/day", "mm/d", "mm d-1", "mm", "kg m-2", "kg/m2", "kg m**-2", "mm/24h")
        ),
        Bounds("kg m-2 s-1", 0, 0.2, ("kg/m2/s", "kg m**-2 s**-1", "mm/s", "mm s-1")),
        Bounds("m", 0, 3, ("m of water equivalent", "metre", "metres")),
        Bounds("m s-1", 0, 2e-4, ("m/s", "m s**-1")),
    ),
    _quantity(
        "specific humidity",
        "specific_humidity",
        "q hus huss specific_humidity shum",
        Bounds("kg kg-1", -0.002, 0.06, ("1", "kg/kg", "kg kg**-1"), limit=0.0),
        Bounds("g kg-1", -2, 60, ("g/kg", "g kg**-1"), limit=0.0),
    ),
    _quantity(
        "wind",
        "eastward_wind northward_wind wind_speed x_wind y_wind",
        "u v u10 v10 10u 10v u100 v100 ua va uas vas uwnd vwnd u_component_of_wind v_component_of_wind "
        "10m_u_component_of_wind 10m_v_component_of_wind sfcwind si10 ws",
        Bounds("m s-1", -200, 200, ("m/s", "m s**-1", "metres per second")),
        Bounds("knots", -390, 390, ("kt", "kts", "knot")),
        Bounds("km h-1", -720, 720, ("km/h", "kmh-1")),
    ),
    _quantity(
        "geopotential",
        "geopotential",
        "z phi geopotential",
        Bounds("m2 s-2", -20_000, 1_000_000, ("m**2 s**-2", "m2/s2", "m^2 s^-2", "J kg-1")),
        Bounds("m", -2_000, 100_000, ("gpm", "geopotential metre")),
    ),
    _quantity(
        "geopotential height",
        "geopotential_height height",
        "zg gh hgt geopotential_height",
        Bounds("m", -2_000, 100_000, ("gpm", "metre", "metres", "geopotential metre")),
        Bounds("km", -2, 100),
    ),
    _quantity(
        "relative humidity",
        "relative_humidity",
        "r rh hur hurs relative_humidity rhum",
        Bounds("%", -10, 180, ("percent", "per cent"), limit=0.0),
        Bounds("1", -0.1, 1.8, limit=0.0),
    ),
    _quantity(
        "cloud cover",
        "cloud_area_fraction",
        "tcc clt total_cloud_cover",
        Bounds("1", 0, 1.001, ("(0 - 1)", "(0-1)", "fraction")),
        Bounds("%", 0, 100.1, ("percent", "per cent")),
    ),
)


def quantity_named(name: str) -> Quantity | None:
    """Returns the quantity of a name of ours; None if there is none."""
    return next((quantity for quantity in QUANTITIES if quantity.name == name), None)


def quantity_of(name: str, standard_name: str = "", unit: str = "") -> Quantity | None:
    """Returns the quantity of a variable; None if it is not known.

    Args:
        name: What the variable is called in its file; ``ta850`` is found as ``ta``.
        standard_name: Its CF standard name, which decides if it is known.
        unit: Its unit: that of a variable with a name of one letter must fit the quantity, for it may be another one.
    """
    for quantity in QUANTITIES:
        if standard_name.casefold() in quantity.standard_names:
            return quantity
    for form in (name.casefold(), re.sub(r"_?\d+$", "", name.casefold())):
        for quantity in QUANTITIES:
            if form in quantity.short_names and (
                len(form) > 1 or any(bounds.is_called(unit) for bounds in quantity.bounds)
            ):
                return quantity
    return None
