"""Floods and low flows of each catchment, by thresholds of its training days, or of any series alike.

A flood is a day above the flow that 2 % of the training days exceed, Q2, about a week each year. A low flow is a day
below the flow that 95 % of them exceed, Q95, the usual index of droughts (WMO-No. 1029, Manual on Low-flow Estimation
and Prediction, 2008). The peaks over the threshold of floods are independent if they are far enough apart (Lang et al.
1999, doi:10.1016/S0022-1694(99)00167-5).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8

from thalweg.contract import SplitName
from trainables.water_mae.data.transform import backward
from trainables.water_mae.knobs import Modality

FLOOD_SHARE, LOW_SHARE = 0.02, 0.05
"""Shares of the training days above the threshold of floods, and below that of low flows."""
DRY = 1e-6
"""Share of the mean flow up to which a flow is none: that of a log flow is rounded."""
PEAK_REACH = 3
"""Days before and after a peak among which a forecast's own peak is looked for, as in Kratzert et al. (2021),
doi:10.5194/hess-25-2685-2021; peaks are more than twice as far apart."""
NO_PEAK = 127
"""In the place of the distance to a peak, of a day that is further than `PEAK_REACH` from any."""


@dataclass(frozen=True)
class FlowEvents:
    """Thresholds of the training days, and the flood peaks of each split.

    Thresholds and moments are NaN for padding and for catchments without observed flow in the training split. A river
    that is dry on more than 5 % of its training days has no low flows: none is below a Q95 of 0, and its threshold is
    NaN, too.

    Attributes:
        flood: Normalised value above which a day is a flood.
        low: Normalised value below which a day is a low flow.
        mean: Mean flow, in the unit of the data.
        std: Standard deviation of flow, in the unit of the data.
        since_peak: Days since the peak that is within `PEAK_REACH`, negative before it, else `NO_PEAK`. A peak is the
            highest day, the first of several, among those at most 2 `PEAK_REACH` days from it in its split, and above
            the threshold. All days within `PEAK_REACH` are in the split and observed.
    """

    flood: Float32[np.ndarray, "vector_patch member"]
    low: Float32[np.ndarray, "vector_patch member"]
    mean: Float64[np.ndarray, "vector_patch member"]
    std: Float64[np.ndarray, "vector_patch member"]
    since_peak: Int8[np.ndarray, "day vector_patch member"]


def find_events(
    flow: Float32[np.ndarray, "day vector_patch member"],
    observed: Bool[np.ndarray, "day vector_patch member"],
    splits: Mapping[SplitName, slice],
    scale: tuple[float, float],
    row: Modality,
) -> FlowEvents:
    """Finds thresholds and peaks.

    Args:
        flow: Normalised values, such as those of log flow.
        observed: Mask of the flows that are data.
        splits: Days of each split.
        scale: Mean and standard deviation after the transform.
        row: The series.
    """
    train = splits["train"]
    shape = flow.shape[1:]
    found = np.full((4, *shape), np.nan)
    for place in zip(*np.nonzero(observed[train].any(axis=0)), strict=True):
        values = flow[train][(slice(None), *place)][observed[train][(slice(None), *place)]].astype(np.float64)
        flows = backward(row, values * scale[1] + scale[0])
        flood, low = np.quantile(values, (1 - FLOOD_SHARE, LOW_SHARE))
        is_dry = np.quantile(flows, LOW_SHARE) <= DRY * flows.mean()
        found[(slice(None), *place)] = (flood, np.nan if is_dry else low, flows.mean(), flows.std())
    thresholds = found[0].astype(np.float32)
    since = np.full(flow.shape, NO_PEAK, np.int8)
    for days in splits.values():
        since[days] = _since_peak(flow[days], observed[days], thresholds)
    return FlowEvents(thresholds, found[1].astype(np.float32), found[2], found[3], since)


def _since_peak(
    flow: Float32[np.ndarray, "day vector_patch member"],
    observed: Bool[np.ndarray, "day vector_patch member"],
    flood: Float32[np.ndarray, "vector_patch member"],
) -> Int8[np.ndarray, "day vector_patch member"]:
    """Returns `FlowEvents.since_peak` of a split."""
    known = np.where(observed, flow, np.float32(-np.inf))
    is_peak: Bool[np.ndarray, "day vector_patch member"] = observed & (flow > flood)
    for lag in range(1, 2 * PEAK_REACH + 1):
        later, earlier = _shifted(known, lag), _shifted(known, -lag)
        is_peak &= (known >= later) & (known > earlier)
        if lag <= PEAK_REACH:
            is_peak &= np.isfinite(later) & np.isfinite(earlier)
    since = np.full(flow.shape, NO_PEAK, np.int8)
    for day, *place in np.argwhere(is_peak):
        around = slice(day - PEAK_REACH, day + PEAK_REACH + 1)
        since[(around, *place)] = np.arange(-PEAK_REACH, PEAK_REACH + 1)
    return since


def _shifted(
    values: Float32[np.ndarray, "day vector_patch member"], lag: int
) -> Float32[np.ndarray, "day vector_patch member"]:
    """Returns the values of `lag` days later; minus infinity beyond the split."""
    found = np.full_like(values, -np.inf)
    if abs(lag) < len(values):
        here, there = (slice(-lag), slice(lag, None)) if lag > 0 else (slice(-lag, None), slice(lag))
        found[here] = values[there]
    return found
