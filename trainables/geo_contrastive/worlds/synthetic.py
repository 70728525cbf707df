"""Synthetic weather at 850 hPa: five variables that physics couples, on a grid around the globe.

`circulation` gives geopotential and winds. Winds carry heat across the mean temperature gradient, which sharpens into
fronts; humidity follows from temperature (Clausius-Clapeyron), is higher in air from the tropics and along fronts.
Every variable has a memory, an annual cycle and noise: tomorrow can be told from today better than by persistence or
the calendar, worse with each day of lead, and one variable tells of another.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64

from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Described, write_table, write_variable
from trainables.geo_contrastive.worlds.circulation import (
    EARTH_RADIUS,
    Place,
    fading_pattern,
    geostrophic,
    travelling_waves,
)

_CALENDAR = Calendar("standard")
_SECONDS = 86_400.0
_DESCRIBED = {  # unit, level, name for people, decimals as in archives
    "t2m": ("K", None, "2 metre temperature", 2),
    "u": ("m s-1", "850 hPa", "eastward wind", 2),
    "v": ("m s-1", "850 hPa", "northward wind", 2),
    "z": ("m2 s-2", "850 hPa", "geopotential", 1),
    "q": ("kg kg-1", "850 hPa", "specific humidity", 7),
}
_WAVES = 600.0  # m2 s-2: standard deviation of the waves' geopotential
_GRADIENT = 45.0  # K from equator to pole
_ADVECTED = 0.5  # share of the wind's transport of heat that counters do not undo
_HEAT_MEMORY = 0.75  # day-to-day correlation of transported heat without wind
_FRONT = 4.0  # K: difference over which a front is sharp
_LAPSE = 9.0  # K from 2 m to 850 hPa

Field = Float64[np.ndarray, "day lon lat"]


@dataclass(frozen=True, kw_only=True)
class World:
    """Size and faults of a synthetic world.

    Attributes:
        shape: Cells along longitude and latitude.
        num_days: Days before any is missing.
        first: First day, since 1970-01-01.
        gaps: Positions of missing days.
        holes: Positions of days on which a cell of humidity is missing.
        region: Whether temperature is known on a coarse grid of Europe alone, on land.
        seed: Seed of everything random.
    """

    shape: tuple[int, int]
    num_days: int
    first: int = 7305
    gaps: tuple[range, ...] = ()
    holes: tuple[int, ...] = ()
    region: bool = False
    seed: int = 0

    @property
    def days(self) -> Int64[np.ndarray, " day"]:
        """Days since 1970-01-01, without any missing."""
        return self.first + np.arange(self.num_days)


TINY = World(shape=(16, 8), num_days=1100, gaps=(range(400, 404), range(900, 902)), holes=(150, 1000))
TWO_GRIDS = World(**(vars(TINY) | {"region": True}))
SMALL = World(shape=(32, 16), num_days=2192, gaps=(range(700, 705), range(1900, 1903)), holes=(90, 91, 2000))


def write_world(world: World, folder: Path) -> None:
    """Writes a synthetic data set into a folder; the same world gives the same bytes."""
    globe = _globe(world.shape)
    fields = simulate(world, Place(globe.first, globe.second))
    grids = dict.fromkeys(fields, globe)
    if world.region:
        europe = Grid("europe", np.arange(-40.0, 41.0, 10.0), np.arange(30.0, 71.0, 8.0), True)
        place = Place(europe.first, europe.second)
        fields["t2m"] = np.where(_land(world, place) > 0, simulate(world, place)["t2m"], np.nan)
        grids["t2m"] = europe
    fields["q"][:, _dry(world, globe)] = np.nan
    fields["q"][list(world.holes), 0, 0] = np.nan
    kept = np.delete(np.arange(world.num_days), [day for gap in world.gaps for day in gap])
    table = []
    for name, values in fields.items():
        unit, level, long_name, decimals = _DESCRIBED[name]
        described = Described(name, unit, grids[name].name, level, long_name)
        rounded = values[kept].round(decimals).astype(np.float32)
        write_variable(folder, described, grids[name], world.days[kept], _CALENDAR, [rounded])
        table.append(described)
    write_table(folder, table, _CALENDAR, "a synthetic world of travelling waves")


make_tiny = partial(write_world, TINY)
make_tiny_two_grids = partial(write_world, TWO_GRIDS)
make_small = partial(write_world, SMALL)


def simulate(world: World, place: Place) -> dict[str, Field]:
    """Simulates all variables, by name; another grid shows the same weather, but for independent noise of each cell."""
    rng = np.random.default_rng(world.seed)
    winter = np.cos(2 * np.pi * (_CALENDAR.day_of_year(world.days) - 20) / 365.25)
    waves = travelling_waves(winter, rng)
    patterns = [fading_pattern(world.num_days, 0.8, place, rng) for _ in range(4)]
    sine = np.sin(np.deg2rad(place.latitude))
    z, by_longitude, by_latitude = (
        _WAVES * change(place) for change in (waves.on, waves.by_longitude, waves.by_latitude)
    )
    cosine = np.cos(np.deg2rad(place.latitude))
    mean_z = 14_700 - 2_600 * sine**2 - 300 * sine * winter[:, None]
    mean_slope = -2_600 * 2 * sine * cosine - 300 * cosine * winter[:, None]
    u, v = geostrophic(by_longitude, by_latitude + mean_slope[:, None], place.latitude)
    u, v = u + 0.8 * patterns[0], v + 0.8 * patterns[1]
    heat = _transported_heat(v, sine * cosine)
    annual = -16 * sine * np.sqrt(np.abs(sine)) * winter[:, None]
    land = _land(world, place)
    temperature = (
        300 - _GRADIENT * sine**2 + annual[:, None] * (1 + 0.5 * np.tanh(2 * land))
        + 1.5 * z / _WAVES + _FRONT * np.tanh(heat / _FRONT) + 0.8 * patterns[2]
    )  # fmt: skip
    humidity = _relative_humidity(v * np.sign(sine), heat) + 0.05 * patterns[3]
    truth = {"t2m": temperature, "u": u, "v": v, "z": mean_z[:, None] + z, "q": humidity}
    noisy = {name: _with_noise(values, rng) for name, values in truth.items()}
    noisy["q"] = noisy["q"].clip(0.1, 1.0) * saturation_humidity(noisy["t2m"] - _LAPSE)
    return noisy


def saturation_humidity(temperature: Field) -> Field:
    """Returns the specific humidity in kg kg-1 of saturated air at 850 hPa, for K.

    Source: Bolton (1980), doi:10.1175/1520-0493(1980)108<1046:TCOEPT>2.0.CO;2, Eq. 10.
    """
    pressure = 611.2 * np.exp(17.67 * (temperature - 273.15) / (temperature - 29.65))
    humidity: Field = 0.622 * pressure / (85_000.0 - 0.378 * pressure)
    return humidity


def _transported_heat(v: Field, gradient: Float64[np.ndarray, " lat"]) -> Field:
    """Returns what yesterday's winds have brought, in K.

    Args:
        v: Northward wind.
        gradient: Sine times cosine of latitude, to which the mean temperature gradient is proportional.
    """
    daily = _ADVECTED * _SECONDS * 2 * _GRADIENT / EARTH_RADIUS * gradient * v
    heat = np.empty_like(v)
    state = np.zeros_like(v[0])
    for day in range(len(v)):
        heat[day] = state
        state = _HEAT_MEMORY * state + daily[day]
    return heat


def _relative_humidity(poleward: Field, heat: Field) -> Field:
    """Returns relative humidity: higher in air from the tropics, and where warm and cold air meet."""
    humidity: Field = 0.7 + 0.12 * np.tanh(poleward / 6) + 0.1 * np.exp(-((2 * heat / _FRONT) ** 2))
    return humidity


def _with_noise(values: Field, rng: np.random.Generator) -> Field:
    """Adds what a cell does not share with its neighbours: 3 % of its standard deviation in time."""
    noisy: Field = values + 0.03 * values.std(axis=0) * rng.standard_normal(values.shape)
    return noisy


def _land(world: World, place: Place) -> Float64[np.ndarray, "lon lat"]:
    """Returns a smooth pattern of unit variance, positive on land."""
    pattern: Float64[np.ndarray, "lon lat"] = fading_pattern(
        1, 0.0, place, np.random.default_rng((world.seed, 1))
    )[0]
    return pattern


def _dry(world: World, globe: Grid) -> Bool[np.ndarray, "lon lat"]:
    """Returns the cells where humidity is never known: the 2 % that are highest above the sea."""
    land = _land(world, Place(globe.first, globe.second))
    highest: Bool[np.ndarray, "lon lat"] = land >= np.quantile(land, 0.98)
    highest[0, 0] = False  # where days have holes
    return highest


def _globe(shape: tuple[int, int]) -> Grid:
    first = -180 + 360 / shape[0] * np.arange(shape[0])
    second = -90 + 180 / shape[1] * (np.arange(shape[1]) + 0.5)
    return Grid("globe", first, second, True)
