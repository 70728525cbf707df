"""Share of a series' variance that the annual cycle and one anomaly per day, common to all catchments, explain."""

import numpy as np
from jaxtyping import Bool, Float, Int16

from thalweg.data.normalization import Climatology

MAX_SHARE = 0.97
"""Share of the variance beyond which the skill on a modality says little about a model."""


def calendar_share(
    values: Float[np.ndarray, "day catchment"],
    day_of_year: Int16[np.ndarray, " day"],
    known: Bool[np.ndarray, "day catchment"],
) -> float:
    """Returns the share of variance explained by each catchment's annual cycle plus the mean anomaly of each day.

    Only days with data of at least two catchments count, because one catchment is its own mean. NaN without variance.

    Args:
        values: A series of catchments.
        day_of_year: Days since 1 January, 0 to 365.
        known: Mask of the values that are data.
    """
    climatology = Climatology((1, values.shape[1]))
    climatology.update(values[:, None].astype(np.float32), day_of_year, known[:, None])
    counts = known & (known.sum(axis=1, keepdims=True) >= 2)
    if not counts.any():
        return float("nan")
    usual = climatology.smoothed()[day_of_year, 0].astype(np.float64)
    anomaly = np.where(counts, values - usual, 0.0)
    common = anomaly.sum(axis=1, keepdims=True) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left = np.square(anomaly - common)[counts].sum()
    around = np.square(values[counts] - values[counts].mean()).sum()
    return float(1 - left / around) if around > 0 else float("nan")


def sentence(share: float, name: str = "evaporation") -> str:
    """Returns a sentence on what the calendar share of a series means for a study."""
    return (
        f"{name}: {share:.1%} of its variance over the training split is each catchment's course of the year plus "
        "one anomaly of the day that all share, so its skill says little of a model; evaluation.modalities can leave "
        "it out of the objective"
    )
