"""Measures of reconstructed fields: errors, skill against climatology and persistence, anomaly correlation, SSIM, PSNR.

Fields are z-scores by the training split. Means over cells are by area, over cells that have data; sums over days are
kept by calendar year and season. A metric without a variable in its name is the mean over variables.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Mode, Outputs, State
from thalweg.per_unit import PerUnit
from trainables.geo_contrastive.evaluation.similarity import structural_similarity
from trainables.geo_contrastive.model.field_error import cell_shares

FIELD = "field/"
"""Prefix of the names of reconstructed fields among the outputs."""

TERMS = (
    "count",
    "error",
    "truth",
    "climatology_error",
    "anomaly_product",
    "anomaly",
    "true_anomaly",
    "ssim",
    "error_by_range",
    "error_after_yesterday",
    "persistence_error",
)
"""Columns of a table: days, and sums over days of means over cells."""

Sums = Mapping[str, float]


def _metric(name: str, mode: Mode, meaning: str, unit: str = "1") -> Metric:
    return Metric(name=name, mode=mode, unit=unit, search_invariant=True, meaning=meaning)


METRICS = (
    _metric(
        "rrmse",
        "min",
        "root mean squared error of fields over the root mean square of the truth, in z-scores",
    ),
    _metric("mse", "min", "mean squared error of fields, in variances of the training split"),
    _metric(
        "acc", "max", "correlation of anomalies from the training split's climatology; 0 if none is predicted"
    ),
    _metric("skill_climatology", "max", "1 - MSE / MSE of the climatology; 1 is perfect"),
    _metric(
        "skill_persistence", "max", "1 - MSE / MSE of the day before, over days that have one; 1 is perfect"
    ),
    _metric("ssim", "max", "structural similarity; the data range is that of the training split"),
    _metric(
        "psnr", "max", "10 log10 (range^2 / MSE); the data range is that of the training split", unit="dB"
    ),
)


class Reconstruction(Measure):
    """Measure of the fields that are reconstructed from a view of which seven tenths are hidden.

    Args:
        variables: Names of the variables.
    """

    units = ("year", "season")

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = tuple(variables)
        self.metrics = (
            *METRICS,
            *(_metric(f"rrmse_{name}", "min", f"the same of {name} alone") for name in self._variables),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums by year and season for each variable; nothing if the outputs hold no fields."""
        if not all(f"{FIELD}{name}" in outputs for name in self._variables):
            return {}
        units = torch.stack([batch["year"], batch["season"]], dim=1)
        return {
            f"{FIELD}{name}": PerUnit.of(
                units, torch.stack(_terms(outputs[f"{FIELD}{name}"], batch, name), dim=1)
            )
            for name in self._variables
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split."""
        of_variables = {}
        for name in self._variables:
            table = state[f"{FIELD}{name}"]
            of_variables[name] = metrics_from(dict(zip(TERMS, table.total().tolist(), strict=True)))
        means = {
            metric.name: mean(found[metric.name] for found in of_variables.values()) for metric in METRICS
        }
        return means | {f"rrmse_{name}": found["rrmse"] for name, found in of_variables.items()}


def mean(values: Iterable[float]) -> float:
    """Returns the mean of the values; NaN if one is."""
    found = list(values)
    return sum(found) / len(found)


def metrics_from(sums: Sums) -> dict[str, float]:
    """Computes the metrics of a variable from the sums of all `TERMS`; NaN where a denominator is 0."""
    predicted, true = sums["anomaly"], sums["true_anomaly"]
    correlation = 0.0 if predicted == 0 else _ratio(sums["anomaly_product"], math.sqrt(predicted * true))
    by_range = _ratio(sums["error_by_range"], sums["count"])
    return {
        "rrmse": math.sqrt(_ratio(sums["error"], sums["truth"])),
        "mse": _ratio(sums["error"], sums["count"]),
        "acc": correlation if true > 0 else math.nan,
        "skill_climatology": 1 - _ratio(sums["error"], sums["climatology_error"]),
        "skill_persistence": 1 - _ratio(sums["error_after_yesterday"], sums["persistence_error"]),
        "ssim": _ratio(sums["ssim"], sums["count"]),
        "psnr": -10 * math.log10(by_range) if by_range > 0 else (math.inf if by_range == 0 else math.nan),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _terms(found: Tensor, batch: Batch, name: str) -> list[Float64[Tensor, " batch"]]:
    """Returns the `TERMS` of each day."""
    shares = cell_shares(batch, name).double()
    shares = shares / shares.sum((1, 2), keepdim=True)  # exactly 1 in total
    found, truth, usual, before = (
        values.double()
        for values in (
            found,
            batch[f"target/{name}"][:, 0],
            batch[f"climatology/{name}"],
            batch[f"yesterday/{name}"],
        )
    )

    def over_cells(values: Tensor) -> Tensor:
        return (values * shares).sum((1, 2))

    error = over_cells((found - truth).square())
    anomaly, true_anomaly = found - usual, truth - usual
    comparable = batch["has_yesterday"].double()
    data_range = batch[f"range/{name}"].double()
    ssim = structural_similarity(
        found, truth, batch[f"valid/{name}"], data_range, wraps=bool(batch[f"wraps/{name}"].all())
    )
    terms = {
        "count": torch.ones_like(error),
        "error": error,
        "truth": over_cells(truth.square()),
        "climatology_error": over_cells(true_anomaly.square()),
        "anomaly_product": over_cells(anomaly * true_anomaly),
        "anomaly": over_cells(anomaly.square()),
        "true_anomaly": over_cells(true_anomaly.square()),
        "ssim": over_cells(ssim),
        "error_by_range": error / data_range.square(),
        "error_after_yesterday": comparable * error,
        "persistence_error": comparable * over_cells((before - truth).square()),
    }
    return [terms[name] for name in TERMS]
