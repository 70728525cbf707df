"""Evaluation of a whole split: sums over batches and ranks, so that every mean is exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from thalweg.config import plain_scalar
from thalweg.contract import SplitName, Task
from thalweg.data.placement import send
from thalweg.errors import DataError, FamilyError
from thalweg.training.ahead import drawer, each_ahead, ready_to_travel
from thalweg.training.process_group import World

if TYPE_CHECKING:
    from thalweg.contract import Batch, Data

Evaluate = Callable[["Batch"], Mapping[str, Tensor]]


def evaluate_split(
    task: Task[Any, Any],
    data: Data,
    evaluate: Evaluate,
    world: World,
    *,
    split: SplitName,
    batch_size: int,
    most: int | None = None,
    is_baseline: bool = False,
) -> dict[str, float]:
    """Evaluates every sample of a split exactly once, whatever the number of workers.

    Args:
        task: Draws the batches and summarizes the sums and rows.
        data: Opened data.
        evaluate: Model, engine or baseline applied to a batch; returns what `Task.evaluate` returns.
        world: Workers that share the split. Every one must call.
        split: Name of the split.
        batch_size: Samples per forward pass.
        most: Samples of the split that are evaluated, the first ones; None takes all.
        is_baseline: Whether it is a predictor of the family, which may do some of the family's tasks alone.

    Returns:
        Metrics by name, equal on all ranks. One that is not finite is left out, such as the skill of a modality that
        the split does not hold.

    Raises:
        DataError: The split is empty.
        FamilyError: A metric is no number, is missing or is not declared; on all ranks alike.
    """
    count = min(data.num_samples(split), most or data.num_samples(split))
    if count < 1:
        raise DataError(f"the split {split!r} must hold at least 1 sample, got 0; lengthen its period")
    shares = np.array_split(np.arange(count), world.size)
    mine = shares[world.rank]
    # Sharded weights (ZeRO 3) are gathered in each forward pass, so all ranks take equally many.
    rounds = -(-max(len(share) for share in shares) // batch_size)
    chunks = [mine[number * batch_size : (number + 1) * batch_size] for number in range(rounds)]

    def draw(number: int) -> Batch:
        indices = chunks[number] if len(chunks[number]) else np.zeros(1, dtype=np.int64)
        batch = ready_to_travel(task.evaluation_batch(data, split, indices), world.device)
        world.beats.add()
        return batch

    sums: dict[str, Tensor] = {}
    rows: dict[str, list[Tensor]] = {}
    with torch.no_grad(), drawer(world.device) as executor:
        batches = each_ahead(executor, draw, range(rounds))
        for chosen, batch in zip(chunks, batches, strict=True):
            for name, value in evaluate(move(batch, world.device)).items():
                if name in task.rows:
                    rows.setdefault(name, []).append(value[: len(chosen)])
                    continue
                value = value if len(chosen) else torch.zeros_like(value)
                sums[name] = sums[name] + value if name in sums else value
    joined = {name: torch.cat(world.gather(torch.cat(parts))).cpu() for name, parts in sorted(rows.items())}
    metrics = _as_declared(task, task.summarize(_over_ranks(sums, world) | joined), partial=is_baseline)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _as_declared(task: Task[Any, Any], found: Any, *, partial: bool) -> dict[str, float]:
    """Returns what a family calls its metrics as floats; numbers of numpy and torch are taken.

    Raises:
        FamilyError: It gave something else than it declares.
    """
    where = f"{type(task).__module__}.{type(task).__qualname__}"
    if not isinstance(found, Mapping):
        raise FamilyError(f"{where}.summarize must return a dict of metrics, got {type(found).__name__}")
    numbers = {
        name: float("nan") if value is np.ma.masked else plain_scalar(value)  # its item is 0
        for name, value in found.items()
    }
    odd = [
        f"{name} = {numbers[name]!r:.60} ({type(value).__name__})"
        for name, value in found.items()
        if isinstance(numbers[name], bool) or not isinstance(numbers[name], int | float)
    ]
    if odd:
        raise FamilyError(
            f"metrics of {where}.summarize must be numbers, got {', '.join(odd)}; return floats"
        )
    missing = [name for name in task.measured() if name not in numbers]
    if missing and not partial:
        raise FamilyError(
            f"{where}.summarize must give every metric of `measured`, got no {', '.join(missing)}; return nan where "
            "there is none"
        )
    unknown = sorted(set(numbers) - {metric.name for metric in task.metrics})
    if unknown:
        raise FamilyError(
            f"{where}.summarize must give declared metrics, got {', '.join(unknown)}; declare a Metric"
        )
    return {name: float(number) for name, number in numbers.items()}


def _over_ranks(sums: dict[str, Tensor], world: World) -> dict[str, Tensor]:
    if not sums:
        return {}
    names = sorted(sums)
    packed = world.sum(torch.cat([sums[name].double().reshape(-1) for name in names])).cpu()
    parts = torch.split(packed, [sums[name].numel() for name in names])
    return {name: part.reshape(sums[name].shape) for name, part in zip(names, parts, strict=True)}


def move(batch: Batch, device: torch.device) -> Batch:
    """Returns a batch on the device; what already lies there is not copied."""
    return {name: send(value, device) for name, value in batch.items()}
