"""Memory that runs out: how it is told from other errors, and whether smaller micro-batches would give the same result.

Loss and gradient do not depend on the micro-batch, up to rounding (`training.accumulation`, `training.gradcache`). A
norm that trains on the samples of a micro-batch does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from thalweg.config import Optimization
from thalweg.errors import OutOfMemory
from thalweg.stage_contract import Stage
from thalweg.training.sampling import Layout


def lacks_memory(error: Exception) -> bool:
    """Whether an error says that this process could not allocate memory, on an accelerator or on the host."""
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)


def obstacle(layout: Layout, model: nn.Module, stages: Sequence[Stage]) -> str:
    """Returns why micro-batches cannot be halved without another result, as part of a sentence; empty if they can.

    Args:
        layout: How a batch is cut at present.
        model: The model.
        stages: Stages of the trial, all of which must stay the same.
    """
    if norm := next((name for stage in stages for name in _trained_norms(model, stage)), ""):
        return f"{norm} is normalised over a micro-batch, whose size changes the result"
    return "" if layout.halved(1) else f"micro-batches of {layout.micro_batch_size} cannot be halved"


def require_halves(layout: Layout, times: int, model: nn.Module, stages: Sequence[Stage]) -> None:
    """Refuses micro-batches that were halved although that changes the result.

    Args:
        layout: How a batch is cut, already halved.
        times: How often it was halved.
        model: The model.
        stages: Stages of the trial.

    Raises:
        OutOfMemory: A norm trains on micro-batches.
    """
    if times and (norm := next((name for stage in stages for name in _trained_norms(model, stage)), "")):
        raise OutOfMemory(
            f"micro-batches must keep their size, for {norm} is normalised over them, got {layout.micro_batch_size} "
            "samples after memory ran out; lower optimization.batch_size or the size of the model"
        )


def cut(knobs: Optimization, world_size: int, halvings: int) -> Layout:
    """Returns how a batch is cut whose micro-batches are halved some times.

    Args:
        knobs: Sizes of batch and micro-batch.
        world_size: Number of workers.
        halvings: How often a micro-batch did not fit into memory.

    Raises:
        ConfigError: A worker or one of its micro-batches would have no sample.
        OutOfMemory: They cannot be halved so often.
    """
    layout = Layout.of(knobs.batch_size, knobs.micro_batch_size, world_size)
    found = layout.halved(halvings)
    if found is None:
        raise OutOfMemory(
            f"a micro-batch must hold at least one sample of each worker, got {layout.micro_batch_size} to be halved "
            f"{halvings} times because memory ran out; lower the size of the model"
        )
    return found


def _trained_norms(model: nn.Module, stage: Stage) -> list[str]:
    """Returns the names of the norms that see batch statistics in a stage, as `engine.train_mode` leaves them."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, _NormBase)
        and not name.startswith(stage.frozen)
        and _trains(name, module, stage)
    ]


def _trains(name: str, module: nn.Module, stage: Stage) -> bool:
    own = [f"{name}.{weight}" for weight, _ in module.named_parameters()]
    prefixes = tuple(group.prefix for group in stage.groups)
    return not own or any(weight.startswith(prefixes) for weight in own)
