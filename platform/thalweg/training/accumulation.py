"""Gradient accumulation: the gradient of one global batch whose loss is a sum over samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.stage_contract import Loss, Progress
from thalweg.training.engine.half_precision import loss_scale
from thalweg.training.evaluation import move
from thalweg.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from thalweg.contract import Batch

Counts = dict[str, float]
Sums = dict[str, Tensor]


def backward(
    engine: Any, loss: Loss, group: ProcessGroup, batches: Sequence[Batch], progress: Progress
) -> tuple[Sums, Counts]:
    """Accumulates the gradient of the exact mean over a global batch in the engine.

    Args:
        engine: DeepSpeed engine around a `TaskModule` with the same loss.
        loss: The loss of the stage.
        group: Workers, each of which holds some micro-batches. Every one must call.
        batches: This worker's micro-batches.
        progress: Where training stands.

    Returns:
        Sums and counts of the loss parts over the global batch, equal on all ranks. The sums are fp64 scalars that stay
        on the worker's device, because reading them would wait for it. The counts are known from the batches.
    """
    counts = total_counts([loss.counts(batch, progress) for batch in batches], group)
    factors = factors_of(loss.weights(progress), counts)
    sums = torch.zeros(len(factors), dtype=torch.float64, device=group.device)
    # DeepSpeed averages gradients over the workers; the sums of all workers make one mean.
    scale = group.size * loss_scale(engine)
    for number, batch in enumerate(batches):
        parts = engine(move(batch, group.device), progress)
        engine.backward(scale * weighted(parts, factors), scale_wrt_gas=False)
        sums += torch.stack([parts[name].detach().double() for name in factors])
        if number < len(batches) - 1:
            engine.step()
    return dict(zip(factors, group.sum(sums).unbind(), strict=True)), counts


def total_counts(local: Sequence[Mapping[str, float]], group: ProcessGroup) -> Counts:
    """Adds the denominators of the loss parts over micro-batches and workers."""
    names = sorted(local[0])
    values = group.sum(torch.tensor([sum(counts[name] for counts in local) for name in names]).double())
    return dict(zip(names, values.tolist(), strict=True))


def factors_of(weights: Mapping[str, float], counts: Mapping[str, float]) -> Counts:
    """Returns the factor for the sum of each part, its weight over its count; 0 if the count is 0."""
    return {name: weights[name] / count if count > 0 else 0.0 for name, count in counts.items()}


def weighted(parts: Mapping[str, Tensor], factors: Mapping[str, Tensor | float]) -> Tensor:
    """Returns the loss, a scalar: the sum of all parts times their factors."""
    return torch.stack([parts[name] * factors[name] for name in factors]).sum()
