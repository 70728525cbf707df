"""Waves around the globe: a stochastic model of the circulation that makes tomorrow follow from today.

Geopotential is a sum of zonal waves in bands of latitude. Each wave travels with the phase speed of a Rossby wave in a
mean flow that varies slowly, fades within days, and is excited anew at random, more in winter. Winds follow by
geostrophy from the derivatives of the waves, which are exact on any grid.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float64

EARTH_RADIUS = 6.371e6
"""Metres."""
BAND_CENTRES = np.array([-65.0, -45.0, -25.0, 0.0, 25.0, 45.0, 65.0])
"""Degrees north."""

_ROTATION = 7.292e-5  # s-1
_BAND_WIDTH = 11.0  # degrees: standard deviation of a band's profile
_BAND_REACH = 15.0  # degrees over which bands are excited together
_SPECTRUM = np.array([0.7, 0.8, 1.0, 0.9, 0.7, 0.5, 0.35])  # relative amplitude of the wavenumbers 1 to 7
_MEMORY_DAYS = np.linspace(8.0, 4.0, len(_SPECTRUM))  # e-folding times of the wavenumbers
_MEAN_FLOW, _MEAN_FLOW_STD, _MEAN_FLOW_MEMORY = 12.0, 2.0, 0.97  # degrees of longitude per day
_BETA, _MERIDIONAL = 110.0, 8.0  # of the dispersion, in degrees per day and squared wavenumbers
_STORMINESS = 0.3  # by which winter exceeds the mean
_EQUATOR = 12.0  # degrees within which geostrophy does not hold


@dataclass(frozen=True)
class Place:
    """Axes of a grid in degrees.

    Attributes:
        longitude: Degrees east.
        latitude: Degrees north.
    """

    longitude: Float64[np.ndarray, " lon"]
    latitude: Float64[np.ndarray, " lat"]


@dataclass(frozen=True)
class Waves:
    """Amplitudes of waves by day, wavenumber and band of latitude.

    Attributes:
        amplitudes: Complex amplitudes; the argument is the phase at the meridian of Greenwich.
    """

    amplitudes: Complex128[np.ndarray, "day wave band"]

    def on(self, place: Place) -> Float64[np.ndarray, "day lon lat"]:
        """Returns the sum of the waves."""
        return _sum(self.amplitudes, place, _profiles(place.latitude))

    def by_longitude(self, place: Place) -> Float64[np.ndarray, "day lon lat"]:
        """Returns its derivative by longitude, per radian."""
        numbers = 1j * np.arange(1, self.amplitudes.shape[1] + 1)[:, None]
        return _sum(self.amplitudes * numbers, place, _profiles(place.latitude))

    def by_latitude(self, place: Place) -> Float64[np.ndarray, "day lon lat"]:
        """Returns its derivative by latitude, per radian."""
        slope = -(place.latitude - BAND_CENTRES[:, None]) / _BAND_WIDTH**2 * np.rad2deg(1.0)
        return _sum(self.amplitudes, place, _profiles(place.latitude) * slope)


def travelling_waves(winter: Float64[np.ndarray, " day"], rng: np.random.Generator) -> Waves:
    """Draws waves that travel, fade and are excited, with a standard deviation of 1 in the middle of a band.

    The phase speed is that of Rossby waves, U - beta / (m^2 + l^2) for the zonal wavenumber m: long waves stand still
    or go west, short ones go east.

    Source: Holton & Hakim (2013), An introduction to dynamic meteorology, Eq. 5.110.

    Args:
        winter: 1 in the middle of the northern winter, -1 in that of the southern one.
        rng: Source of randomness.
    """
    numbers = np.arange(1, len(_SPECTRUM) + 1)
    memory = np.exp(-1 / _MEMORY_DAYS)[:, None]
    fresh = _excitation(len(winter), rng)
    hemisphere = np.sin(np.deg2rad(BAND_CENTRES))
    storms = 1 + _STORMINESS * winter[:, None, None] * hemisphere
    flow = _MEAN_FLOW + _MEAN_FLOW_STD * red_noise(len(winter), _MEAN_FLOW_MEMORY, (), rng)
    speed = flow[:, None] - _BETA / (numbers**2 + _MERIDIONAL)
    turn = np.exp(-1j * np.deg2rad(numbers * speed))[:, :, None]
    amplitudes = np.empty_like(fresh)
    state = fresh[0]
    for day in range(len(winter)):
        state = memory * turn[day] * state + np.sqrt(1 - memory**2) * storms[day] * fresh[day]
        amplitudes[day] = state
    return Waves(amplitudes)


def fading_pattern(
    num_days: int, memory: float, place: Place, rng: np.random.Generator
) -> Float64[np.ndarray, "day lon lat"]:
    """Draws a smooth field of unit variance that stands still, fades and is renewed.

    Args:
        num_days: Number of days.
        memory: Correlation with the day before.
        place: Where; another grid shows the same field if `rng` is in the same state.
        rng: Source of randomness.
    """
    shape = (len(_SPECTRUM), len(BAND_CENTRES))
    real, imaginary = (red_noise(num_days, memory, shape, rng) for _ in range(2))
    field = _sum(real + 1j * imaginary, place, _profiles(place.latitude))
    std = np.sqrt(len(_SPECTRUM) * (_profiles(place.latitude) ** 2).sum(axis=0))
    scaled: Float64[np.ndarray, "day lon lat"] = field / std
    return scaled


def red_noise(
    num_days: int, memory: float, shape: tuple[int, ...], rng: np.random.Generator
) -> Float64[np.ndarray, " day *shape"]:
    """Draws autoregressive noise of order 1 and unit variance."""
    fresh = rng.standard_normal((num_days, *shape))
    noise = np.empty_like(fresh)
    noise[0] = fresh[0]
    for day in range(1, num_days):
        noise[day] = memory * noise[day - 1] + np.sqrt(1 - memory**2) * fresh[day]
    return noise


def geostrophic(
    by_longitude: Float64[np.ndarray, "day lon lat"],
    by_latitude: Float64[np.ndarray, "day lon lat"],
    latitude: Float64[np.ndarray, " lat"],
) -> tuple[Float64[np.ndarray, "day lon lat"], Float64[np.ndarray, "day lon lat"]]:
    """Returns the winds u and v in m s-1 that balance a geopotential, weakened towards the equator.

    Args:
        by_longitude: Derivative of geopotential in m2 s-2 per radian.
        by_latitude: The other derivative.
        latitude: Degrees north.

    Source: Holton & Hakim (2013), Eq. 2.23, with f / (f^2 + f0^2) in the place of 1 / f.
    """
    f = 2 * _ROTATION * np.sin(np.deg2rad(latitude))
    f0 = 2 * _ROTATION * np.sin(np.deg2rad(_EQUATOR))
    inverse = f / (f**2 + f0**2)
    return (
        -inverse / EARTH_RADIUS * by_latitude,
        inverse / (EARTH_RADIUS * np.cos(np.deg2rad(latitude))) * by_longitude,
    )


def _excitation(num_days: int, rng: np.random.Generator) -> Complex128[np.ndarray, "day wave band"]:
    """Draws amplitudes that neighbouring bands share."""
    distance = (BAND_CENTRES[:, None] - BAND_CENTRES) / _BAND_REACH
    together = np.linalg.cholesky(np.exp(-0.5 * distance**2) + 1e-6 * np.eye(len(BAND_CENTRES)))
    parts = rng.standard_normal((2, num_days, len(_SPECTRUM), len(BAND_CENTRES)))
    # einsum, not @: the same bits whatever the number of BLAS threads
    mixed = np.einsum("dmb,cb->dmc", parts[0] + 1j * parts[1], together)
    scaled: Complex128[np.ndarray, "day wave band"] = (
        mixed * (_SPECTRUM / np.sqrt((_SPECTRUM**2).sum()))[:, None]
    )
    return scaled


def _profiles(latitude: Float64[np.ndarray, " lat"]) -> Float64[np.ndarray, "band lat"]:
    profiles: Float64[np.ndarray, "band lat"] = np.exp(
        -0.5 * ((latitude - BAND_CENTRES[:, None]) / _BAND_WIDTH) ** 2
    )
    return profiles


def _sum(
    amplitudes: Complex128[np.ndarray, "day wave band"],
    place: Place,
    profiles: Float64[np.ndarray, "band lat"],
) -> Float64[np.ndarray, "day lon lat"]:
    numbers = np.arange(1, amplitudes.shape[1] + 1)
    circle = np.exp(1j * np.deg2rad(place.longitude)[:, None] * numbers)
    along = np.einsum("dmb,by->dmy", amplitudes, profiles)
    total: Float64[np.ndarray, "day lon lat"] = np.einsum("dmy,xm->dxy", along, circle).real
    return total
