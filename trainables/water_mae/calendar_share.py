"""How much of a series of catchments is the calendar and one anomaly that all share: what needs no model."""

import numpy as np
from jaxtyping import Float, Int16

from thalweg.data.normalization import Climatology

MAX_SHARE = 0.97
"""Share of the variance beyond which a modality tells little of a model."""


def calendar_share(
    values: Float[np.ndarray, "day catchment"], day_of_year: Int16[np.ndarray, " day"]
) -> float:
    """Returns the share of the variance that is the course of each catchment plus the mean anomaly of each day.

    Args:
        values: A series of catchments without gaps.
        day_of_year: Days since 1 January, 0 to 365.
    """
    climatology = Climatology((1, values.shape[1]))
    days = values[:, None].astype(np.float32)
    climatology.update(days, day_of_year, np.ones(days.shape, bool))
    anomaly = values - climatology.smoothed()[day_of_year, 0].astype(np.float64)
    left = anomaly - anomaly.mean(axis=1, keepdims=True)
    return float(1 - np.square(left).sum() / np.square(values - values.mean()).sum())


def sentence(share: float) -> str:
    """Says of evaporation what its share means for a study."""
    return (
        f"evaporation: {share:.1%} of its variance over the training split is each catchment's course of the year plus "
        "one anomaly of the day that all share, so its skill says little of a model; evaluation.modalities can leave "
        "it out of the objective"
    )
