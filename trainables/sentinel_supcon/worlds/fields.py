"""Smooth random fields."""

import numpy as np
from jaxtyping import Float64


def smooth_field(rng: np.random.Generator, side: int, scale: float) -> Float64[np.ndarray, "side side"]:
    """Returns a random field of mean 0 and variance 1.

    Args:
        rng: Generator of all random numbers.
        side: Its side in pixels.
        scale: Standard deviation of the Gaussian that smooths white noise, in pixels.
    """
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal((side, side)), scale, mode="wrap")
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9))
