"""Scores of samples of fields: fair CRPS, spread and skill, beside those of a single reconstruction.

Fields are z-scores by the training split. Means over cells are by area, over cells that have data; sums over days are
kept by calendar year and season. A metric without a variable in its name is the mean over variables.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Mode, Outputs, State
from thalweg.nn.measures.ensemble import ensemble_variance, fair_crps, spread_skill
from thalweg.per_unit import PerUnit
from trainables.geo_contrastive.evaluation.reconstruction import FIELD, mean
from trainables.geo_contrastive.evaluation.subset import SCORED, rows_scored
from trainables.geo_contrastive.model.field_error import cell_shares

ENSEMBLE = "ensemble/"
"""Prefix of the names of samples (row, member, lon, lat) among the outputs, for the rows of `rows_scored`."""
NUM_MEMBERS = 8
"""Samples of a day in evaluation."""

_TERMS = ("count", "crps", "variance", "error", "truth", "members")


def _metric(name: str, mode: Mode, meaning: str, *, invariant: bool = True) -> Metric:
    return Metric(name=name, mode=mode, unit="1", search_invariant=invariant, meaning=meaning)


class EnsembleScores(Measure):
    """Measure of several fields for a day.

    Args:
        variables: Names of the variables.
    """

    units = ("year", "season")

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = tuple(variables)
        self.metrics = (
            _metric("crps", "min", "fair CRPS of samples, in standard deviations of the training split"),
            _metric("ensemble_rrmse", "min", "RMSE of the mean of the samples over the RMS of the truth"),
            _metric(
                "spread_skill",
                "max",
                "spread of samples over the error of their mean: 1 is right, so that it is no objective",
                invariant=False,
            ),
            *(_metric(f"crps_{name}", "min", f"fair CRPS of {name} alone") for name in self._variables),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums by year and season for each variable; nothing if the outputs hold no samples."""
        if not all(f"{ENSEMBLE}{name}" in outputs for name in self._variables):
            return {}
        rows = rows_scored(batch)
        return {
            f"{ENSEMBLE}{name}": _table(
                batch, rows, self._terms(outputs[f"{ENSEMBLE}{name}"], batch, rows, name)
            )
            for name in self._variables
        }

    def _terms(
        self, members: Tensor, batch: Batch, rows: Int64[Tensor, " row"], name: str
    ) -> list[Float64[Tensor, " row"]]:
        shares, truth = _shares_and_truth(batch, rows, name)
        values = (
            fair_crps(members, truth),
            ensemble_variance(members),
            (members.double().mean(1) - truth).square(),
            truth.square(),
            torch.full_like(truth, members.shape[1]),
        )
        means = [(each * shares).sum((1, 2)) for each in values]
        return [torch.ones_like(means[0]), *means]

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split."""
        of_variables = {
            name: dict(zip(_TERMS, state[f"{ENSEMBLE}{name}"].total().tolist(), strict=True))
            for name in self._variables
        }
        crps = {name: _ratio(sums["crps"], sums["count"]) for name, sums in of_variables.items()}
        return {
            "crps": mean(crps.values()),
            "ensemble_rrmse": mean(
                math.sqrt(_ratio(sums["error"], sums["truth"])) for sums in of_variables.values()
            ),
            "spread_skill": mean(
                spread_skill(sums["variance"], sums["error"], round(sums["members"] / max(sums["count"], 1)))
                for sums in of_variables.values()
            ),
        } | {f"crps_{name}": value for name, value in crps.items()}


class PointScore(Measure):
    """Measure of the single reconstruction of a day on the same days: the CRPS of one field is its absolute error.

    Args:
        variables: Names of the variables.
    """

    units = ("year", "season")

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = tuple(variables)
        self.metrics = (
            _metric(
                "crps_reconstruction",
                "min",
                "CRPS of the decoder's reconstruction alone, its mean absolute error, on the days of crps",
            ),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums by year and season for each variable; nothing if the outputs hold no fields."""
        if not all(f"{FIELD}{name}" in outputs for name in self._variables):
            return {}
        rows = rows_scored(batch)
        found = {}
        for name in self._variables:
            shares, truth = _shares_and_truth(batch, rows, name)
            errors = (outputs[f"{FIELD}{name}"][rows].double() - truth).abs()
            mean_error = (errors * shares).sum((1, 2))
            found[f"{FIELD}{name}"] = _table(batch, rows, [torch.ones_like(mean_error), mean_error])
        return found

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metric of a split."""
        totals = (state[f"{FIELD}{name}"].total().tolist() for name in self._variables)
        return {"crps_reconstruction": mean(_ratio(error, count) for count, error in totals)}


def _shares_and_truth(
    batch: Batch, rows: Int64[Tensor, " row"], name: str
) -> tuple[Float64[Tensor, "row _ _"], Float64[Tensor, "row _ _"]]:
    return cell_shares(batch, name)[rows].double(), batch[f"target/{name}"][rows, 0].double()


def _table(batch: Batch, rows: Int64[Tensor, " row"], terms: Sequence[Float64[Tensor, " row"]]) -> PerUnit:
    """Returns sums by year and season; rows that are not scored count nothing."""
    units = torch.stack([batch["year"][rows], batch["season"][rows]], dim=1)
    return PerUnit.of(units, torch.stack(list(terms), dim=1) * batch[SCORED][rows].double()[:, None])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
