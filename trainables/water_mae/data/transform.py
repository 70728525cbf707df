"""Transforms of a modality before normalisation, and back."""

import numpy as np
from jaxtyping import Float

from trainables.water_mae.knobs import Modality


def forward(row: Modality, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Returns transformed values, in their number format; rounding below 0 counts as 0 in a logarithm."""
    if row.transform == "none":
        return values
    transformed: Float[np.ndarray, "*shape"] = np.log(np.maximum(values, 0) + values.dtype.type(row.floor))
    return transformed


def backward(row: Modality, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Returns the values that transformed ones stand for."""
    if row.transform == "none":
        return values
    found: Float[np.ndarray, "*shape"] = np.exp(values) - row.floor
    return found
