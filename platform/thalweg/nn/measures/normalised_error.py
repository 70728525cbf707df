"""Normalised error: mean squared error of vectors over the variance of their targets, from sums in fp64 that add up.

The variance is that around the mean of each dimension, so that predicting the mean of the targets has the error 1.
"""

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State

Vectors = Float[Tensor, "batch dim"]

_ROUNDING = 1e-12  # of a sum of squares


def normalised_error_sums(prediction: Vectors, target: Vectors) -> dict[str, Tensor]:
    """Computes the sums of a batch that `normalised_error` takes."""
    return {name: values.sum(0) for name, values in normalised_errors(prediction, target).items()}


def normalised_errors(prediction: Vectors, target: Vectors) -> dict[str, Tensor]:
    """Returns one row of these sums for each sample."""
    prediction, target = prediction.double(), target.double()
    return {
        "error_squares": (prediction - target).square().sum(1),
        "target_squares": target.square().sum(1),
        "target_sum": target,
        "target_count": target.new_ones(len(target)),
    }


def normalised_error(sums: Mapping[str, Tensor]) -> float:
    """Computes the mean squared error over the target's variance around its mean; NaN for a target that is constant."""
    squares = float(sums["target_squares"])
    variance = squares - float(sums["target_sum"].square().sum() / sums["target_count"])
    if variance <= _ROUNDING * squares:  # what rounding leaves of 0
        return math.nan
    return float(sums["error_squares"]) / variance


class NormalisedError(Measure):
    """Measure of the normalised error of one output against another.

    Args:
        metric: The metric that is reported.
        prediction: Name of the prediction among the outputs.
        target: Name of its target among the outputs.

    Attributes:
        metrics: The metric.
        rows: Nothing is kept sample by sample.
    """

    rows: frozenset[str] = frozenset()

    def __init__(self, metric: Metric, *, prediction: str, target: str) -> None:
        self.metrics = (metric,)
        self._prediction, self._target = prediction, target

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Computes the sums of a batch; nothing if the outputs lack prediction or target."""
        return {name: values.sum(0) for name, values in self.per_sample(outputs, batch).items()}

    def per_sample(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Returns the rows of all samples, which `add` sums over the batch."""
        if not {self._prediction, self._target} <= outputs.keys():
            return {}
        found = normalised_errors(outputs[self._prediction], outputs[self._target])
        return {f"{self.metrics[0].name}/{part}": value for part, value in found.items()}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the error of a split."""
        beginning = f"{self.metrics[0].name}/"
        sums = {
            name.removeprefix(beginning): value for name, value in state.items() if name.startswith(beginning)
        }
        return {self.metrics[0].name: normalised_error(sums)} if sums else {}
