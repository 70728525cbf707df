"""Resharding: loads the optimizer of a checkpoint on another number of workers than wrote it, at ZeRO 1 and 2.

Each worker holds one part of every parameter group, flattened: the masters in fp32 and the moments of the optimizer.
DeepSpeed pads the last parts so that all are of one size, and refuses to load another number of parts; its elastic
checkpoints do not support torch's optimizers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.errors import ConfigError

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

_SHARD = re.compile(r"zero_pp_rank_(\d+)_mp_rank_\d+_optim_states\.pt$")
_MASTERS, _STATE = "single_partition_of_fp32_groups", "base_optimizer_state"


def shards(folder: Path) -> list[Path]:
    """Returns the files with the optimizer's parts, by rank; empty if the optimizer is not sharded."""
    found = {int(match[1]): file for file in folder.iterdir() if (match := _SHARD.search(file.name))}
    return [found[rank] for rank in sorted(found)]


def require_loadable(folder: Path, zero_stage: int, num_workers: int) -> None:
    """Refuses a checkpoint that cannot be loaded by this number of workers.

    Raises:
        ConfigError: The weights are sharded too (ZeRO 3), and another number of workers wrote them.
    """
    wrote = len(shards(folder))
    if zero_stage == 3 and wrote not in (0, num_workers):
        raise ConfigError(
            f"a checkpoint of optimization.zero_stage 3 must be loaded by the {wrote} workers that wrote it, got "
            f"{num_workers}; continue with {wrote}, or begin anew with zero_stage 0 to 2, which any number loads"
        )


def load(engine: DeepSpeedEngine, folder: Path, rank: int, num_workers: int) -> None:
    """Loads this worker's part of the optimizer into an engine whose weights are loaded already."""
    parts = [
        torch.load(file, map_location="cpu", weights_only=False)["optimizer_state_dict"]
        for file in shards(folder)
    ]
    sizes = [masters.numel() for masters in engine.optimizer.single_partition_of_fp32_groups]
    mine = dict(parts[0])
    mine[_MASTERS] = [
        _part([part[_MASTERS][group] for part in parts], rank, size) for group, size in enumerate(sizes)
    ]
    # Empty if the loss scale has fallen since the start and no step was taken.
    held = parts[0][_STATE]["state"]
    state = {group: _moments(parts, group, rank, size) for group, size in enumerate(sizes) if group in held}
    mine[_STATE] = {**parts[0][_STATE], "state": state}
    engine.optimizer.load_state_dict([mine] * num_workers, load_from_fp32_weights=True)


def _moments(parts: list[dict[str, Any]], group: int, rank: int, size: int) -> dict[str, Any]:
    """Returns this worker's part of the optimizer's state of a group; scalars are equal on all workers."""
    held = [part[_STATE]["state"][group] for part in parts]
    lengths = [part[_MASTERS][group].numel() for part in parts]  # without the padding, which the moments have
    return {
        name: _part([one[name][:length] for one, length in zip(held, lengths, strict=True)], rank, size)
        if torch.is_tensor(value) and value.dim()
        else value
        for name, value in held[0].items()
    }


def _part(pieces: list[Tensor], rank: int, size: int) -> Tensor:
    """Returns a worker's part of a flattened group, padded with zeros."""
    mine = torch.cat([piece.flatten() for piece in pieces])[rank * size : (rank + 1) * size]
    return torch.nn.functional.pad(mine, (0, size - mine.numel()))
