"""Measures of forecast low flows: Nash-Sutcliffe efficiency of logarithms, and days below Q95 of the training days."""

import torch
from torch import Tensor

from thalweg.contract import Batch, Measure, Outputs, State
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

_OF_DAYS = "low-flow days ({what} below Q95 of the training days), all catchments together"


class LowFlowScores(Measure):
    """Nash-Sutcliffe efficiency of log flow, and critical success index and hit rate of days with a low flow.

    A hundredth of the mean flow is added before the logarithm, so that days without flow do not decide (Pushpalatha et
    al. 2012, doi:10.1016/j.jhydrol.2011.11.055). Forecasts of a logarithm are not corrected to means.

    Args:
        row: The series that is forecast, which has no negative values.
    """

    def __init__(self, row: Modality) -> None:
        self._row = row
        what = row.name.replace("_", " ")
        days = _OF_DAYS.format(what=what)
        self.metrics = (
            *declared("log_nse_forecast", f"Nash-Sutcliffe efficiency of log {what}, median of catchments"),
            *declared("low_flow_csi", f"critical success index of {days}"),
            *declared("low_flow_pod", f"share of the {days}, that are forecast"),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums the moments of log flow, and counts events, by catchment and year of issue."""
        if STAGE not in outputs:
            return {}
        forecast, below = outputs[STAGE], batch["low_below"][:, None]
        counts = events.contingency(batch["forecast_target"] < below, forecast < below, forecast, batch)
        flows = known(batch) & (batch["mean_flow"][:, None] > 0)
        given, seen = (_log_flow(each, batch) for each in in_units(batch, forecast, self._row))
        moments = metrics.flow_moments(given, seen, flows)
        return {**by_lead("log", moments, batch), **by_lead("low", counts, batch)}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the scores."""
        moments = [metrics.named(state[f"log_{days}d"].by(0).values, metrics.MOMENTS) for days in LEAD_DAYS]
        counts = [metrics.named(state[f"low_{days}d"].total(), events.COUNTS) for days in LEAD_DAYS]
        return {
            **over_leads("log_nse_forecast", [metrics.median(metrics.nse(each)) for each in moments]),
            **over_leads("low_flow_csi", [events.critical_success_index(each) for each in counts]),
            **over_leads("low_flow_pod", [events.probability_of_detection(each) for each in counts]),
        }


def _log_flow(flow: Tensor, batch: Batch) -> Tensor:
    """Returns the logarithm of flow, at least 0, plus `events.LOG_SHARE` of the catchment's mean, in fp64."""
    return torch.log(flow.clamp(min=0) + events.LOG_SHARE * batch["mean_flow"][:, None])
