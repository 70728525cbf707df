"""Retrieval, recall at 1: how often the nearest embedding of the other modality or view belongs to the same sample.

A contrastive loss depends on temperature and batch size, so it cannot compare trials that differ in them. Recall at 1
can: it searches a fixed number of samples, which are the same in every trial.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State

Embeddings = Float[Tensor, "sample dim"]


def found_at_1(first: Embeddings, second: Embeddings, pool: int) -> Float[Tensor, "searched direction"]:
    """Says of each sample whether its counterpart finds it, in both directions, over pools of consecutive samples.

    Samples that do not fill a last pool are left out; if there are fewer samples than a pool, they are one smaller
    pool. Of several equally near samples the first one counts as found, so that equal embeddings find 1 sample of a
    pool.

    Args:
        first: Embeddings of all samples of a split, of length 1, in its fixed order.
        second: Embeddings of the other modality or view of the same samples.
        pool: Number of samples among which one is searched.

    Returns:
        1 for a sample whose nearest embedding is its own, else 0; NaN for all if an embedding is not finite. The first
        column searches from the second modality for the first, the other one the reverse.
    """
    size = min(pool, len(first))
    count = len(first) // size
    if not (first.isfinite().all() and second.isfinite().all()):
        return first.new_full((count * size, 2), math.nan, dtype=torch.float64)
    own = torch.arange(size, device=first.device)
    found = []
    pools = (torch.split(rows[: count * size], size) for rows in (first, second))
    for ours, theirs in zip(*pools, strict=True):
        cosines = ours.double() @ theirs.double().T
        found.append(torch.stack([(cosines.argmax(axis) == own).double() for axis in (0, 1)], dim=1))
    return torch.cat(found)


def recall_at_1(first: Embeddings, second: Embeddings, pool: int) -> float:
    """Computes recall at 1, the mean of both directions; NaN if an embedding is not finite. See `found_at_1`."""
    return float(found_at_1(first, second, pool).mean())


def standard_error(found: Float[Tensor, "searched direction"]) -> float:
    """Computes the standard error of recall at 1: that of a mean over samples, each the mean of its directions.

    Samples of a pool share their candidates, so that they are not quite independent. NaN for fewer than 2 samples.

    Args:
        found: What `found_at_1` returned.
    """
    return float(found.mean(1).std() / math.sqrt(len(found))) if len(found) > 1 else math.nan


class Retrieval(Measure):
    """Measure of recall at 1 between two outputs of a model; keeps the rows of a whole split.

    Args:
        metric: The metric that is reported.
        first: Name of one embedding among the outputs.
        second: Name of the other.
        pool: Number of samples among which one is searched.
        error: Metric of its standard error; None reports none.

    Attributes:
        metrics: The metric, and that of its standard error.
        rows: Names in the state that are kept one row for each sample, in the order of the split.
    """

    def __init__(
        self, metric: Metric, first: str, second: str, pool: int, error: Metric | None = None
    ) -> None:
        self.metrics = (metric,) if error is None else (metric, error)
        self.rows = frozenset({first, second})
        self._names = (first, second)
        self._pool = pool

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Returns both embeddings of a batch; nothing if the outputs lack one."""
        if not self.rows <= outputs.keys():
            return {}
        return {name: outputs[name] for name in self._names}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metric of a split."""
        if not self.rows <= state.keys():
            return {}
        first, second = (state[name] for name in self._names)
        found = found_at_1(first, second, self._pool)
        values = (float(found.mean()), standard_error(found))
        return {metric.name: value for metric, value in zip(self.metrics, values, strict=False)}
