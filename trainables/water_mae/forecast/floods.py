"""Measures of forecast floods: days above a threshold of the training days, and the day and height of peaks."""

import torch
from jaxtyping import Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Outputs, State
from thalweg.per_unit import PerUnit
from trainables.water_mae.data.flow_events import NO_PEAK, PEAK_REACH
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.forecast import events
from trainables.water_mae.forecast.forecast import (
    LEAD_DAYS,
    STAGE,
    by_lead,
    declared,
    in_units,
    known,
    over_leads,
)
from trainables.water_mae.knobs import Modality

_DAYS = 2 * PEAK_REACH + 1
_OF_FLOODS = "flood days ({what} above Q2 of the training days), all catchments together"
_OF_PEAKS = f"flood peaks that have forecasts of all {_DAYS} days around them"


class FloodScores(Measure):
    """Critical success index, hit rate and false alarm ratio of days with a flood.

    Events are rare in each catchment, so those of all catchments are counted together.

    Args:
        row: The series that is forecast, which has no negative values.
    """

    def __init__(self, row: Modality) -> None:
        days = _OF_FLOODS.format(what=row.name.replace("_", " "))
        self.metrics = (
            *declared("flood_csi", f"critical success index of {days}"),
            *declared("flood_pod", f"share of the {days}, that are forecast"),
            *declared("flood_far", f"share of false alarms among forecast {days}", mode="min"),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Counts hits, misses and false alarms by catchment and year of issue."""
        if STAGE not in outputs:
            return {}
        forecast, above = outputs[STAGE], batch["flood_above"][:, None]
        counts = events.contingency(batch["forecast_target"] > above, forecast > above, forecast, batch)
        return by_lead("floods", counts, batch)

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the scores."""
        counts = [metrics.named(state[f"floods_{days}d"].total(), events.COUNTS) for days in LEAD_DAYS]
        return {
            **over_leads("flood_csi", [events.critical_success_index(each) for each in counts]),
            **over_leads("flood_pod", [events.probability_of_detection(each) for each in counts]),
            **over_leads("flood_far", [events.false_alarm_ratio(each) for each in counts]),
        }


class PeakErrors(Measure):
    """Errors of the day and of the height of flood peaks.

    The forecasts of one lead time make a series. Its peak is the highest day, the first of several, within `PEAK_REACH`
    days of the observed one. A peak counts if all of these days were forecast, so windows must begin on every day.
    The two errors belong together: persistence repeats each peak at its height, but late by the lead time.

    Source: peak-timing error of Kratzert et al. (2021), doi:10.5194/hess-25-2685-2021.

    Args:
        row: The series that is forecast, which has no negative values.
    """

    metrics = (
        *declared(
            "peak_timing_error", f"mean absolute error of the day of {_OF_PEAKS}", mode="min", unit="d"
        ),
        *declared(
            "peak_height_error",
            f"mean absolute error of the height of {_OF_PEAKS}, relative to the height",
            mode="min",
        ),
    )

    def __init__(self, row: Modality) -> None:
        self._row = row

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Keeps the forecasts of the days around each peak, by catchment, year and day of the peak."""
        if STAGE not in outputs:
            return {}
        given, seen = in_units(batch, outputs[STAGE], self._row)
        return {
            f"peaks_{days}d": _around_peaks(given[:, number], seen[:, number], batch, number)
            for number, days in enumerate(LEAD_DAYS)
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the errors."""
        errors = [_errors(state[f"peaks_{days}d"].values) for days in LEAD_DAYS]
        return {
            **over_leads("peak_timing_error", [timing for timing, _ in errors]),
            **over_leads("peak_height_error", [height for _, height in errors]),
        }


def _around_peaks(
    given: Float64[Tensor, "batch patch member"],
    seen: Float64[Tensor, "batch patch member"],
    batch: Batch,
    number: int,
) -> PerUnit:
    """Returns a table of flow around each peak, for one lead time.

    Args:
        given: Forecasts, in the unit of the data.
        seen: What came.
        batch: The batch.
        number: Index of the lead time.

    Returns:
        Sums (unit, 2 * days + 1) by (place, year, day of the peak): the forecasts of the days around the peak, how
        many there are of each, and the observed peak.
    """
    since = batch["since_peak"][:, number].long()
    chosen = known(batch)[:, number] & (since != NO_PEAK)
    place = torch.arange(since[0].numel(), device=since.device).reshape(since[0].shape).expand_as(since)
    day = batch["forecast_day"][:, number, None, None] - since
    keys = torch.stack([each[chosen] for each in (place, batch["peak_year"][:, number], day)], dim=1)
    given, seen = given[chosen], seen[chosen]
    slot = torch.nn.functional.one_hot(since[chosen] + PEAK_REACH, _DAYS).double()
    here = torch.where(slot > 0, given[:, None], 0.0)
    return PerUnit.of(keys, torch.cat([here, slot, (seen * slot[:, PEAK_REACH])[:, None]], dim=1))


def _errors(peaks: Float64[Tensor, "peak value"]) -> tuple[float, float]:
    """Returns the mean errors of the day and of the height; NaN without peaks of which all days were forecast."""
    whole = peaks[(peaks[:, _DAYS : 2 * _DAYS] == 1).all(1)]
    series, height = whole[:, :_DAYS], whole[:, -1]
    highest, day = series.max(1)  # NaN counts as the highest
    broken = highest.isnan()
    # argmax of equal values may be any of them
    first = (series == highest[:, None]).double().argmax(1)
    timing = (torch.where(broken, day, first) - PEAK_REACH).abs().double().masked_fill(broken, float("nan"))
    return float(timing.mean()), float(((highest - height).abs() / height).mean())
