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


def recall_at_1(first: Embeddings, second: Embeddings, pool: int) -> float:
    """Computes recall at 1, the mean of both directions, over pools of consecutive samples.

    Samples that do not fill a last pool are left out; if there are fewer samples than a pool, they are one smaller
    pool. Of several equally near samples the first one counts as found, so that equal embeddings find 1 sample of a
    pool. NaN if an embedding is not finite.

    Args:
        first: Embeddings of all samples of a split, of length 1, in its fixed order.
        second: Embeddings of the other modality or view of the same samples.
        pool: Number of samples among which one is searched.
    """
    if not (first.isfinite().all() and second.isfinite().all()):
        return math.nan
    size = min(pool, len(first))
    count = len(first) // size
    own = torch.arange(size, device=first.device)
    shares = []
    pools = (torch.split(rows[: count * size], size) for rows in (first, second))
    for ours, theirs in zip(*pools, strict=True):
        cosines = ours.double() @ theirs.double().T
        shares += [(cosines.argmax(axis) == own).double().mean() for axis in (0, 1)]
    return float(torch.stack(shares).mean())


class Retrieval(Measure):
    """Measure of recall at 1 between two outputs of a model; keeps the rows of a whole split.

    Args:
        metric: The metric that is reported.
        first: Name of one embedding among the outputs.
        second: Name of the other.
        pool: Number of samples among which one is searched.

    Attributes:
        metrics: The metric.
        rows: Names in the state that are kept one row for each sample, in the order of the split.
    """

    def __init__(self, metric: Metric, first: str, second: str, pool: int) -> None:
        self.metrics = (metric,)
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
        return {self.metrics[0].name: recall_at_1(first, second, self._pool)}
