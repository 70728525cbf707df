"""Gradient accumulation: the gradient of one global batch whose loss is a sum over samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.errors import FamilyError
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
    weights = loss.weights(progress)
    counts = total_counts([loss.counts(batch, progress) for batch in batches], weights, group)
    factors = factors_of(weights, counts)
    sums = torch.zeros(len(factors), dtype=torch.float64, device=group.device)
    # DeepSpeed averages gradients over the workers; the sums of all workers make one mean.
    scale = group.size * loss_scale(engine)
    for number, batch in enumerate(batches):
        parts = engine(move(batch, group.device), progress)
        engine.backward(scale * _reaching(engine, weighted(parts, factors)), scale_wrt_gas=False)
        sums += torch.stack([parts[name].detach().double() for name in factors])
        if number < len(batches) - 1:
            engine.step()
    return dict(zip(factors, group.sum(sums).unbind(), strict=True)), counts


def _reaching(engine: Any, loss: Tensor) -> Tensor:
    """Returns a loss that reaches the weights that train, also if no sample of its micro-batch carries any part.

    Raises:
        FamilyError: It does not, and the weights are sharded.
    """
    if loss.requires_grad:
        return loss
    if engine.zero_optimization_stage() == 3:  # each forward pass gathers the weights, on all workers alike
        raise FamilyError(
            "with zero_stage 3 a loss must depend on the model in each micro-batch, got one that does not; multiply "
            "what no sample carries by 0 instead of leaving it out, or lower optimization.zero_stage"
        )
    trained = [weight for weight in engine.module.parameters() if weight.requires_grad]
    return loss + torch.stack([weight.reshape(-1)[:0].sum().float() for weight in trained]).sum()


def total_counts(
    local: Sequence[Mapping[str, float]], weights: Mapping[str, float], group: ProcessGroup
) -> Counts:
    """Adds the denominators of the loss parts over micro-batches and workers.

    Args:
        local: Counts of this worker's micro-batches.
        weights: Weights of the parts, whose names are the same on all workers.
        group: The workers. Every one must call.

    Raises:
        FamilyError: A part has no weight.
    """
    _check_weighted({name for counts in local for name in counts}, weights)
    names = sorted(weights)
    sums = [sum(float(counts.get(name, 0.0)) for counts in local) for name in names]
    given = [float(any(name in counts for counts in local)) for name in names]
    values, givers = group.sum(torch.tensor([sums, given], dtype=torch.float64)).tolist()
    return {name: value for name, value, giver in zip(names, values, givers, strict=True) if giver}


def _check_weighted(names: Iterable[str], weights: Mapping[str, float]) -> None:
    if missing := sorted(set(names) - weights.keys()):
        raise FamilyError(
            f"every part of a loss must have a weight, got none for {', '.join(missing)}; name it in weights"
        )


def factors_of(
    weights: Mapping[str, float], counts: Mapping[str, Tensor | float]
) -> dict[str, Tensor | float]:
    """Returns what the sum of each part is multiplied by, in the order of the names; 0 for a part that nothing carries.

    No device is waited for.

    Raises:
        FamilyError: A part has no weight, or weight or count are no numbers that a part may have.
    """
    _check_weighted(counts, weights)
    for name, count in counts.items():
        _check_number("weight", name, float(weights[name]), isfinite)
        if not isinstance(count, Tensor) or count.device.type == "cpu":
            _check_number("count", name, float(count), lambda number: isfinite(number) and number >= 0)
    return {name: _factor(weights[name], counts[name]) for name in sorted(counts)}


def _check_number(what: str, part: str, number: float, fits: Callable[[float], bool]) -> None:
    if not fits(number):
        law = "finite" if what == "weight" else "finite and not negative"
        raise FamilyError(
            f"the {what} of a part of a loss must be {law}, got {number} for {part!r}; mend {what}s of the loss"
        )


def _factor(weight: float, count: Tensor | float) -> Tensor | float:
    if isinstance(count, Tensor):
        count = count.detach().double()
        return torch.where(count > 0, weight / count.clamp(min=1e-300), 0.0).float()
    return weight / count if count > 0 else 0.0


def weighted(parts: Mapping[str, Tensor], factors: Mapping[str, Tensor | float]) -> Tensor:
    """Returns the loss, a scalar.

    Raises:
        FamilyError: A part has no count, or a count no part.
    """
    if parts.keys() != factors.keys():
        raise FamilyError(
            f"parts and counts of a loss must have the same names, got {', '.join(sorted(parts))} and "
            f"{', '.join(sorted(factors))}; count every part, with 0 if nothing carries it"
        )
    return torch.stack([parts[name] * factors[name] for name in factors]).sum()
