"""Skill: 1 - MSE / variance of the target, from sums in fp64 that add up over batches and workers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Mode, Outputs, State

ERRORS = ("count", "total", "square", "error")
"""Terms of the sums: number of values, true value, its square, and squared error."""

_ROUNDING = 1e-12  # of a sum of squares


def squared_error_sums(
    prediction: Float[Tensor, "*axes"], target: Float[Tensor, "*axes"], counts: Bool[Tensor, "*axes"]
) -> dict[str, Tensor]:
    """Sums the `ERRORS` over the values that count; the others may be anything, also NaN."""
    return {name: values.sum() for name, values in squared_error_terms(prediction, target, counts).items()}


def squared_errors(
    prediction: Float[Tensor, " batch *axes"],
    target: Float[Tensor, " batch *axes"],
    counts: Bool[Tensor, " batch *axes"],
) -> dict[str, Float64[Tensor, " batch"]]:
    """Returns the same sums for each sample."""
    terms = squared_error_terms(prediction, target, counts)
    return {name: values.reshape(len(values), -1).sum(1) for name, values in terms.items()}


def squared_error_terms(
    prediction: Float[Tensor, "*axes"], target: Float[Tensor, "*axes"], counts: Bool[Tensor, "*axes"]
) -> dict[str, Float64[Tensor, "*axes"]]:
    """Returns the `ERRORS` of each value; 0 for values that do not count."""
    target = target.double().masked_fill(~counts, 0)
    error = prediction.double().masked_fill(~counts, 0) - target
    return dict(zip(ERRORS, (counts.double(), target, target.square(), error.square()), strict=True))


def spread(sums: Mapping[str, Tensor]) -> float:
    """Returns the sum of squares around the mean; 0 if nothing was counted or varies."""
    count, total, square = (float(sums[name]) for name in ("count", "total", "square"))
    around = square - total**2 / count if count else 0.0
    return around if around > _ROUNDING * square else 0.0  # what rounding leaves of 0


def skill(sums: Mapping[str, Tensor]) -> float:
    """Returns 1 - MSE / variance; NaN if the target does not vary."""
    around = spread(sums)
    return 1 - float(sums["error"]) / around if around > 0 else math.nan


def mean_squared_error(sums: Mapping[str, Tensor]) -> float:
    """Returns the mean squared error; NaN if nothing was counted."""
    return float(sums["error"]) / float(sums["count"]) if sums["count"] else math.nan


class Skill(Measure):
    """Measure of skill and mean squared error of one output: ``skill_NAME`` and ``mse_NAME``.

    Args:
        name: Name of the predicted quantity.
        prediction: Name of the prediction among the outputs.
        target: Name of the true values in the batch, of the same shape.
        counts: Name in the batch of a mask of the values that count, of the same shape; None counts all.
        unit: Unit of the target.

    Attributes:
        metrics: Both metrics.
        rows: Nothing is kept sample by sample.
    """

    rows: frozenset[str] = frozenset()

    def __init__(
        self, name: str, *, prediction: str, target: str, counts: str | None = None, unit: str = "1"
    ) -> None:
        self._name = name
        self._prediction, self._target, self._counts = prediction, target, counts
        squared = "1" if unit == "1" else f"({unit})^2"
        words = name.replace("_", " ")
        self.metrics = (
            _metric(f"skill_{name}", "max", "1", f"1 - MSE / variance of the {words}; 1 is perfect"),
            _metric(f"mse_{name}", "min", squared, f"mean squared error of the {words}"),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums the errors of a batch; nothing if the outputs lack the prediction."""
        return {name: values.sum(0) for name, values in self.per_sample(outputs, batch).items()}

    def per_sample(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Returns the sums of each sample (batch,), which `add` sums over the batch."""
        if self._prediction not in outputs:
            return {}
        target = batch[self._target]
        counts = torch.ones_like(target, dtype=torch.bool) if self._counts is None else batch[self._counts]
        found = squared_errors(outputs[self._prediction], target, counts)
        return {f"{self._name}/{part}": value for part, value in found.items()}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes both metrics of a split."""
        if f"{self._name}/count" not in state:
            return {}
        sums = {part: state[f"{self._name}/{part}"] for part in ERRORS}
        return {f"skill_{self._name}": skill(sums), f"mse_{self._name}": mean_squared_error(sums)}


def _metric(name: str, mode: Mode, unit: str, meaning: str) -> Metric:
    return Metric(name=name, mode=mode, unit=unit, search_invariant=True, meaning=meaning)
