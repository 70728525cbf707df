"""Makes the buffers of a model equal on all workers before the model is evaluated or saved.

Parameters are equal on all workers after each step; buffers need not be. A batch norm normalises by the micro-batch of
its worker, and its running statistics are those of the samples that this worker saw. They are pooled as the
statistics of one set of samples, in which each worker counts by its share of a batch: the mean of means, and the
variance within the workers plus that between their means. Of any other buffer that a model changes while it trains,
such as a queue or a counter, all workers take that of the first one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from thalweg.training.process_group import ProcessGroup


def unite(model: nn.Module, group: ProcessGroup, share: int) -> None:
    """Makes the buffers of a model equal on all workers, in place. Every worker must call.

    Buffers that are equal already keep their bits.

    Args:
        model: The model.
        group: The workers.
        share: Samples of each batch that this worker trains.
    """
    if group.size == 1:
        return
    norms = [module for module in model.modules() if isinstance(module, _NormBase)]
    tracked = [(norm.running_mean, norm.running_var) for norm in norms]
    statistics = [(mean, var) for mean, var in tracked if mean is not None and var is not None]
    _pool(statistics, group, share)
    pooled = {id(buffer) for pair in statistics for buffer in pair}
    _take_first([buffer for buffer in model.buffers() if id(buffer) not in pooled], group)


def _pool(statistics: Sequence[tuple[Tensor, Tensor]], group: ProcessGroup, share: int) -> None:
    """Replaces means and variances, (feature,) each, by those over all workers (law of total variance)."""
    if not statistics:
        return
    means, variances = (torch.cat([pair[side].double() for pair in statistics]) for side in (0, 1))
    whole = group.sum(means.new_tensor(share))
    pooled = group.sum(share * means) / whole
    total = group.sum(share * (variances + (means - pooled).square())) / whole
    sizes = [len(mean) for mean, _ in statistics]
    for (mean, variance), *joined in zip(
        statistics, torch.split(pooled, sizes), torch.split(total, sizes), strict=True
    ):
        mean.copy_(joined[0])
        variance.copy_(joined[1])


def _take_first(buffers: Sequence[Tensor], group: ProcessGroup) -> None:
    """Copies the first worker's buffers to the others as one message of bytes, because gloo cannot send bools."""
    if not buffers:
        return
    parts = [buffer.detach().to(group.device).reshape(-1).view(torch.uint8) for buffer in buffers]
    message = group.broadcast(torch.cat(parts))
    pieces = torch.split(message, [len(part) for part in parts])
    for buffer, part in zip(buffers, pieces, strict=True):
        buffer.detach().copy_(part.clone().view(buffer.dtype).view(buffer.shape))  # aligned by the clone
