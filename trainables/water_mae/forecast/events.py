"""Floods and low flows in the days that are forecast: what batches hold of them, and contingency tables.

Events are of any series without negative values. A forecast of log flow warns of an event if it lies beyond the event's
threshold. It is not corrected to a mean in mm/day: for errors that are symmetric in the logarithm, a warning then means
that the event is more likely than not.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from thalweg.contract import Indices, SplitName
from trainables.water_mae.data.flow_events import FLOOD_SHARE, LOW_SHARE, NO_PEAK, PEAK_REACH
from trainables.water_mae.data.windows import WaterData, years_of
from trainables.water_mae.forecast.forecast import LEAD_DAYS, Forecast, known
from trainables.water_mae.model.batch import Batch

COUNTS = ("hits", "misses", "false_alarms")
LOG_SHARE = 0.01
"""Share of a catchment's mean flow in the training days that is added before the logarithm of the log-NSE."""


def protocol() -> dict[str, Any]:
    """Returns what the metrics of events depend on besides weights and data."""
    return {
        "flow_events": {
            "flood_share": FLOOD_SHARE,
            "low_share": LOW_SHARE,
            "peak_reach": PEAK_REACH,
            "log_share": LOG_SHARE,
        }
    }


def of_windows(data: WaterData, split: SplitName, indices: Indices, ahead: str) -> Batch:
    """Samples the thresholds of each catchment and the peaks of the days that are to be forecast.

    Args:
        data: The data set.
        split: The split.
        indices: Numbers of windows in the split.
        ahead: Name of the series that is forecast.

    Returns:
        ``flood_above`` and ``low_below`` fp32 (batch, patch, member), normalised; ``mean_flow`` fp64 (batch, patch,
        member), in the unit of the data; ``since_peak`` int8 (batch, lead, patch, member), `NO_PEAK` beyond the split;
        ``forecast_day`` int64 (batch, lead), days since 1970-01-01; ``peak_year`` int64 (batch, lead, patch, member).
    """
    events, size = data.flow_events(ahead), len(indices)
    where = _days_ahead(data, split, indices)
    inside = where < data.ends[split]
    days = data.epoch_day[np.where(inside, where, 0)]
    since = events.since_peak[np.where(inside, where, 0)]
    since = np.where(inside[..., None, None], since, np.int8(NO_PEAK))
    peaks = days[..., None, None] - np.where(since == NO_PEAK, 0, since)
    thresholds = {"flood_above": events.flood, "low_below": events.low, "mean_flow": events.mean}
    return {
        **{name: torch.tensor(each).expand(size, -1, -1) for name, each in thresholds.items()},
        "since_peak": torch.from_numpy(since),
        "forecast_day": torch.from_numpy(days),
        "peak_year": torch.from_numpy(years_of(peaks)),
    }


def _days_ahead(data: WaterData, split: SplitName, indices: Indices) -> Int64[np.ndarray, "window lead"]:
    """Returns the numbers of the days that are forecast."""
    last = data.starts[split][indices][:, None] + data.sequence_length - 1
    days: Int64[np.ndarray, "window lead"] = last + np.array(LEAD_DAYS)
    return days


def contingency(
    happened: Bool[Tensor, "batch lead patch member"],
    warned: Bool[Tensor, "batch lead patch member"],
    forecast: Forecast,
    batch: Batch,
) -> Float64[Tensor, "batch lead patch member 3"]:
    """Returns the `COUNTS` of each forecast; 0 for days that do not count, NaN for a forecast that is no number."""
    seen = happened.double()
    given = warned.double().masked_fill(forecast.isnan(), float("nan"))
    terms = torch.stack([seen * given, seen * (1 - given), (1 - seen) * given], dim=-1)
    return torch.where(known(batch)[..., None], terms, 0.0)


def critical_success_index(counts: Mapping[str, Tensor]) -> float:
    """Returns hits / (hits + misses + false alarms); NaN without events.

    Source: Schaefer (1990), doi:10.1175/1520-0434(1990)005<0570:TCSIAA>2.0.CO;2.
    """
    events = counts["hits"] + counts["misses"]
    return _ratio(counts["hits"], events + counts["false_alarms"]) if events != 0 else float("nan")


def probability_of_detection(counts: Mapping[str, Tensor]) -> float:
    """Returns hits / (hits + misses), the hit rate; NaN without events."""
    return _ratio(counts["hits"], counts["hits"] + counts["misses"])


def false_alarm_ratio(counts: Mapping[str, Tensor]) -> float:
    """Returns false alarms / (hits + false alarms); NaN without warnings.

    It is a share of the warnings, unlike the false alarm rate, a share of the days without an event (Barnes et al.
    2009, doi:10.1175/2009WAF2222300.1).
    """
    return _ratio(counts["false_alarms"], counts["hits"] + counts["false_alarms"])


def _ratio(part: Tensor, whole: Tensor) -> float:
    return float(part / whole) if whole != 0 else float("nan")


def lacking(data: WaterData, split: SplitName, ahead: str) -> Mapping[str, str]:
    """Returns the metrics of `floods` and `low_flows` that a split cannot give, and why.

    Args:
        data: The data set.
        split: The split.
        ahead: Name of the series that is forecast.
    """
    events, place = data.flow_events(ahead), data.modalities.places[ahead].position
    indices = np.arange(data.num_samples(split))
    values, present, observed = (each[:, :, place] for each in data.after(split, indices, LEAD_DAYS))
    counts = (present[..., None, None] > 0) & observed
    found: dict[str, str] = {}
    for names, happened, event in (
        (("flood_csi", "flood_pod"), values > events.flood, "flood"),
        (("low_flow_csi", "low_flow_pod"), values < events.low, "low flow"),
    ):
        none = [
            lead for lead, some in zip(LEAD_DAYS, (happened & counts).any((0, 2, 3)), strict=True) if not some
        ]
        found |= _named(names, none, f"no forecast of {split} is of a day with a {event}")
    whole = _whole_peaks(data, split, present > 0, ahead)
    none = [lead for lead in LEAD_DAYS if not whole[lead]]
    why = (
        f"no flood peak of {split} has forecasts of all days within {PEAK_REACH} days; they need windows that begin on "
        "every day (data.evaluation_stride=1)"
    )
    return found | _named(("peak_timing_error", "peak_height_error"), none, why)


def _named(names: tuple[str, ...], leads: list[int], why: str) -> dict[str, str]:
    """Returns the metrics at some lead times, and their means over all."""
    return {each: why for name in names if leads for each in (name, *(f"{name}_{lead}d" for lead in leads))}


def _whole_peaks(
    data: WaterData, split: SplitName, present: Bool[np.ndarray, "window lead"], ahead: str
) -> dict[int, bool]:
    """Returns for each lead time whether any peak has a forecast of each of its days."""
    days = _days_ahead(data, split, np.arange(len(present)))
    since = data.flow_events(ahead).since_peak
    found = {}
    for number, lead in enumerate(LEAD_DAYS):
        there = np.zeros(len(data.epoch_day) + 2 * PEAK_REACH, bool)
        there[days[present[:, number], number] + PEAK_REACH] = True
        whole = np.lib.stride_tricks.sliding_window_view(there, 2 * PEAK_REACH + 1).all(1)
        found[lead] = bool((since == 0).any((1, 2))[whole].any())
    return found
