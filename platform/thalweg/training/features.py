"""Computes what the frozen part of a model makes of the training samples, once for a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from thalweg.stage_contract import FrozenFeatures
from thalweg.training.evaluation import move
from thalweg.training.process_group import ProcessGroup
from thalweg.training.transfer import prefetch_thread, prefetched, ready_to_travel

if TYPE_CHECKING:
    from thalweg.contract import Batch, Data


def compute(
    features: FrozenFeatures, engine: Any, model: nn.Module, data: Data, group: ProcessGroup, batch_size: int
) -> None:
    """Computes the features of every training sample once, shared among the workers, and lets them be kept.

    Args:
        features: What is computed.
        engine: DeepSpeed engine of the stage around a `TaskModule`; it is put into evaluation mode.
        model: The model in it.
        data: Opened data.
        group: Workers that share the split. Every one must call.
        batch_size: Samples per forward pass.
    """
    shares = np.array_split(np.arange(data.num_samples("train")), group.size)
    mine = shares[group.rank]
    # Sharded weights (ZeRO 3) are gathered in each forward pass, so all ranks take equally many.
    rounds = -(-max(len(share) for share in shares) // batch_size)
    chunks = [mine[number * batch_size : (number + 1) * batch_size] for number in range(rounds)]

    def sample(number: int) -> Batch:
        indices = chunks[number] if len(chunks[number]) else np.zeros(1, dtype=np.int64)
        batch = ready_to_travel(features.batch(data, indices), group.device)
        group.beats.add()
        return batch

    engine.eval()
    found: dict[str, list[torch.Tensor]] = {}
    with prefetch_thread(group.device) as executor:
        for chosen, batch in zip(chunks, prefetched(executor, sample, range(rounds)), strict=True):
            for name, rows in engine(move(batch, group.device), None, features).items():
                found.setdefault(name, []).append(rows[: len(chosen)])
    features.keep(
        model, {name: torch.cat(group.gather(torch.cat(parts))) for name, parts in sorted(found.items())}
    )


def compute_alone(features: FrozenFeatures, model: nn.Module, data: Data, batch_size: int = 64) -> None:
    """Computes the features of every training sample without an engine and other workers.

    Args:
        features: What is computed.
        model: The model, on the CPU; it keeps its mode.
        data: Opened data.
        batch_size: Samples per forward pass.
    """
    training, found = model.training, dict[str, list[torch.Tensor]]()
    model.eval()
    with torch.no_grad():
        for first in range(0, data.num_samples("train"), batch_size):
            indices = np.arange(first, min(first + batch_size, data.num_samples("train")))
            for name, rows in features.compute(model, features.batch(data, indices)).items():
                found.setdefault(name, []).append(rows)
    features.keep(model, {name: torch.cat(parts) for name, parts in found.items()})
    model.train(training)
