"""Noise with the smoothness of weather: Gaussian fields of the Matern covariance with nu = 3/2."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from trainables.geo_contrastive.data.draws import Hashes, normal

LENGTH = 3.0
"""Length scale of the noise, in cells."""
_REACH = 8  # length scales after which cells are taken as independent; their correlation is 1e-5


def correlation(distance: Float[np.ndarray, "*shape"], length: float) -> Float64[np.ndarray, "*shape"]:
    """Returns the correlation at distances in the unit of the length scale.

    Source: Rasmussen & Williams (2006), Gaussian processes for machine learning, Eq. 4.17 (nu = 3/2).
    """
    scaled = np.sqrt(3.0) * distance / length
    values: Float64[np.ndarray, "*shape"] = (1 + scaled) * np.exp(-scaled)
    return values


def matern_noise(
    keys: Hashes, shape: tuple[int, int], wraps: bool, length: float = LENGTH
) -> Float64[np.ndarray, "view lon lat"]:
    """Draws a field of unit variance for each key.

    Args:
        keys: One key per field.
        shape: Cells along longitude and latitude.
        wraps: Whether the first axis closes the circle.
        length: Length scale in cells.

    The field is white noise on a torus, filtered by the square root of the covariance's spectrum, which gives exactly
    that covariance (circulant embedding; Dietrich & Newsam 1997, doi:10.1137/S1064827592240555). An axis that does not
    wrap is part of a longer one, so that its ends are independent.
    """
    import scipy.fft  # a second that those who only look need not wait for

    margin = int(np.ceil(_REACH * length))
    torus = (shape[0] if wraps else shape[0] + margin, shape[1] + margin)
    white = normal(keys, torus[0] * torus[1]).reshape(-1, *torus)
    spectrum = scipy.fft.rfft2(white) * _filter(torus, length)
    noise: Float64[np.ndarray, "view lon lat"] = scipy.fft.irfft2(spectrum, s=torus)
    return noise[:, : shape[0], : shape[1]]


@lru_cache(maxsize=16)
def _filter(torus: tuple[int, int], length: float) -> NDArray[np.float64]:
    """Returns the square root of the spectrum of the correlation on a torus: of all its images, added up.

    One image alone would not be a covariance on a short axis.
    """
    import scipy.fft

    images = [np.arange(-around, around + 1) for around in (_images(size, length) for size in torus)]
    total = np.zeros(torus)
    first, second = (np.arange(size) for size in torus)
    for one in images[0]:
        for other in images[1]:
            distance = np.hypot((first + one * torus[0])[:, None], (second + other * torus[1])[None, :])
            total += correlation(distance, length)
    # The spectrum is positive; rounding may leave it a hair below 0.
    power = scipy.fft.rfft2(total / total[0, 0]).real.clip(0)
    root: NDArray[np.float64] = np.sqrt(power)
    return root


def _images(size: int, length: float) -> int:
    return int(np.ceil(2 * _REACH * length / size)) + 1
