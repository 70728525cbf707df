"""Measures of forecasts: errors and skill of decoded fields at fixed leads.

Every trial is measured on the same days and leads, whatever it reads and how far it steps: each day of the split issues
a forecast, and one counts at a lead if there is such a day in the split before the next jump. Fields are z-scores by
the training split. Means over cells are by area, over cells that have data; sums over days are kept by calendar year
and season of the day of issue. A metric is the mean over variables.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Mode, Outputs, State
from thalweg.per_unit import PerUnit
from thalweg.wording import counted
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.evaluation.reconstruction import mean
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD
from trainables.geo_contrastive.model.field_error import cell_shares

TERMS = ("count", "error", "truth", "climatology_error", "persistence_error")
"""Columns of a table, for each lead: forecasts, and sums over forecasts of means over cells."""
CLIMATOLOGY, PERSISTENCE = "forecast_skill_climatology", "forecast_skill_persistence"
_OTHERS = {CLIMATOLOGY: "climatology", PERSISTENCE: "the field of the day of issue"}


def at(name: str, lead: int) -> str:
    """Returns the name of a metric at a lead."""
    return f"{name}_{lead}d"


def _metric(name: str, mode: Mode, meaning: str) -> Metric:
    return Metric(name=name, mode=mode, unit="1", search_invariant=True, meaning=meaning)


def _metrics() -> tuple[Metric, ...]:
    error = "root mean squared error of forecast fields over the root mean square of the truth, in z-scores"
    found = [_metric("forecast_rrmse", "min", f"{error}, {LEADS[0]} day ahead")]
    found += [
        _metric(name, "max", f"mean over leads of the skill against {_OTHERS[name]}") for name in _OTHERS
    ]
    for lead in LEADS:
        ahead = f"{counted(lead, 'day')} ahead"
        found += [_metric(at("forecast_rrmse", lead), "min", f"{error}, {ahead}")] if lead > LEADS[0] else []
        for name, other in _OTHERS.items():
            found.append(_metric(at(name, lead), "max", f"1 - MSE / MSE of {other}, {ahead}; 1 is perfect"))
    return tuple(found)


def beyond(longest: int) -> tuple[str, ...]:
    """Names the metrics that need forecasts further ahead; a mean over leads needs all.

    Args:
        longest: Days ahead for which there is a forecast.
    """
    far = [lead for lead in LEADS if lead > longest]
    found = ["forecast_rrmse"] if LEADS[0] in far else []
    found += [at("forecast_rrmse", lead) for lead in far if lead > LEADS[0]]
    found += [at(name, lead) for lead in far for name in _OTHERS]
    return (*found, *_OTHERS) if far else ()


class ForecastSkill(Measure):
    """Measure of forecasts.

    Args:
        variables: Names of the variables.
    """

    units = ("year", "season")

    metrics = _metrics()

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = tuple(variables)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums by year and season for each variable; nothing if the outputs hold no forecasts."""
        if not all(f"{FORECAST_FIELD}{name}" in outputs for name in self._variables):
            return {}
        units = torch.stack([batch["year"], batch["season"]], dim=1)
        return {
            f"{FORECAST_FIELD}{name}": PerUnit.of(
                units, _terms(outputs[f"{FORECAST_FIELD}{name}"], batch, name)
            )
            for name in self._variables
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split."""
        tables = [state[f"{FORECAST_FIELD}{name}"].total() for name in self._variables]
        found: dict[str, float] = {}
        for place, lead in enumerate(LEADS):
            sums = [dict(zip(TERMS, table[place].tolist(), strict=True)) for table in tables]
            found |= {at(name, lead): value for name, value in _from_sums(sums).items()}
        found["forecast_rrmse"] = found.pop(at("forecast_rrmse", LEADS[0]))
        return found | {name: mean(found[at(name, lead)] for lead in LEADS) for name in _OTHERS}


def relative_errors(totals: Sequence[Float64[Tensor, "lead term"]]) -> dict[str, list[float]]:
    """Returns RMSE over the RMS of the truth at each lead, means over variables: of forecasts and of what they face.

    Args:
        totals: The `TERMS` of each variable over all days.
    """
    terms = {"forecast": "error", "persistence": "persistence_error", "climatology": "climatology_error"}
    truth = TERMS.index("truth")
    return {
        name: [
            mean(
                math.sqrt(_ratio(float(of[lead, TERMS.index(term)]), float(of[lead, truth]))) for of in totals
            )
            for lead in range(len(LEADS))
        ]
        for name, term in terms.items()
    }


def _from_sums(sums: Sequence[dict[str, float]]) -> dict[str, float]:
    """Returns the metrics of a lead, means over variables; NaN where a denominator is 0."""
    return {
        "forecast_rrmse": mean(math.sqrt(_ratio(of["error"], of["truth"])) for of in sums),
        CLIMATOLOGY: mean(1 - _ratio(of["error"], of["climatology_error"]) for of in sums),
        PERSISTENCE: mean(1 - _ratio(of["error"], of["persistence_error"]) for of in sums),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _terms(found: Tensor, batch: Batch, name: str) -> Float64[Tensor, "batch lead term"]:
    """Returns the `TERMS` of each forecast; 0 where there is no day to forecast."""
    shares = cell_shares(batch, name).double()[:, None]
    truth = batch[f"ahead/{name}"].double()
    counted = batch["has_ahead"].double()

    def over_cells(values: Tensor) -> Tensor:
        return (values.double().square() * shares).sum((2, 3)) * counted

    columns = {
        "count": counted,
        "error": over_cells(found - truth),
        "truth": over_cells(truth),
        "climatology_error": over_cells(batch[f"ahead_climatology/{name}"] - truth),
        "persistence_error": over_cells(batch[f"clean/{name}"][:, None] - truth),
    }
    return torch.stack([columns[term] for term in TERMS], dim=2)
