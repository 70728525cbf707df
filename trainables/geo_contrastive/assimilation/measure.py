"""Measure of analyses: errors of whole fields by area, beside those of climatology and optimal interpolation."""

import math
from collections.abc import Sequence

import torch

from thalweg.contract import Batch, Measure, Metric, Mode, Outputs, State
from thalweg.per_unit import PerUnit
from trainables.geo_contrastive.evaluation.reconstruction import mean
from trainables.geo_contrastive.evaluation.subset import SCORED, rows_scored
from trainables.geo_contrastive.model.field_error import cell_shares

ANALYSIS = "analysis/"
"""Prefix of the names of analyses (row, lon, lat) among the outputs, for the rows of `rows_scored`."""

_TERMS = ("error", "truth", "climatology_error", "optimal_error")


def _metric(name: str, mode: Mode, meaning: str) -> Metric:
    return Metric(name=f"assimilation_{name}", mode=mode, unit="1", search_invariant=True, meaning=meaning)


class Assimilation(Measure):
    """Measure of the analysis of days that are observed in a tenth of their cells, over all cells that have data.

    Args:
        variables: Names of the variables.
    """

    units = ("year", "season")

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = tuple(variables)
        self.metrics = (
            _metric(
                "rrmse", "min", "root mean squared error of analyses over the root mean square of the truth"
            ),
            _metric("skill_optimal", "max", "1 - MSE / MSE of optimal interpolation; 1 is perfect"),
            _metric("skill_climatology", "max", "1 - MSE / MSE of the climatology; 1 is perfect"),
            *(_metric(f"rrmse_{name}", "min", f"the same error of {name} alone") for name in self._variables),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums errors by year and season for each variable; nothing if the outputs hold no analysis."""
        if not all(f"{ANALYSIS}{name}" in outputs for name in self._variables):
            return {}
        rows = rows_scored(batch)
        units = torch.stack([batch["year"][rows], batch["season"][rows]], dim=1)
        counted = batch[SCORED][rows].double()[:, None]
        found = {}
        for name in self._variables:
            shares = cell_shares(batch, name)[rows].double()
            truth = batch[f"target/{name}"][rows, 0].double()
            differences = (
                outputs[f"{ANALYSIS}{name}"].double() - truth,
                truth,
                batch[f"climatology/{name}"][rows].double() - truth,
                batch[f"optimal/{name}"][rows].double() - truth,
            )
            terms = [(each.square() * shares).sum((1, 2)) for each in differences]
            found[f"{ANALYSIS}{name}"] = PerUnit.of(units, torch.stack(terms, dim=1) * counted)
        return found

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split."""
        of_variables = {
            name: dict(zip(_TERMS, state[f"{ANALYSIS}{name}"].total().tolist(), strict=True))
            for name in self._variables
        }
        errors = {
            name: math.sqrt(_ratio(sums["error"], sums["truth"])) for name, sums in of_variables.items()
        }
        skills = {
            f"assimilation_skill_{other}": mean(
                1 - _ratio(sums["error"], sums[f"{other}_error"]) for sums in of_variables.values()
            )
            for other in ("optimal", "climatology")
        }
        of_each = {f"assimilation_rrmse_{name}": error for name, error in errors.items()}
        return {"assimilation_rrmse": mean(errors.values())} | skills | of_each


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
