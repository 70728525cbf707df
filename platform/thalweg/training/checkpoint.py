"""Checkpoints of a trial: one folder per evaluation, complete or absent, the newest kept.

``DIRECTORY/TRIAL/samples-000002048/`` holds DeepSpeed's files (weights, optimizer, loss scaler, of every rank)
and ``state.json`` (counters, report, configuration). The order of samples, masks and dropout follow from the seed and
the number of samples seen, so there is no generator state to save.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import OutputError
from thalweg.training.orders import Report
from thalweg.training.process_group import World

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine
    from torch import Tensor

STATE = "state.json"
_TAG = "weights"
_MODEL_STATES = "mp_rank_00_model_states.pt"
_OPTIMIZER_SHARDS = "*zero_pp_rank_*optim_states.pt"


@dataclass(frozen=True)
class State:
    """Where a trial stood at a checkpoint.

    Attributes:
        report: What was reported at this evaluation.
        config: The configuration as JSON.
        family: Package of the family.
        stage: Number of the stage that was training.
    """

    report: Report
    config: Mapping[str, Any]
    family: str
    stage: int

    @classmethod
    def read(cls, folder: Path) -> State:
        """Reads the state of a complete checkpoint."""
        values = json.loads((folder / STATE).read_text())
        report = values["report"]
        report["curve"] = tuple((samples, point) for samples, point in report["curve"])
        return cls(Report(**report), values["config"], values["family"], values["stage"])


def newest(trial: Path) -> Path | None:
    """Returns the newest complete checkpoint in a trial's folder; ``state.json`` is written last."""
    folders = sorted(trial.glob(f"samples-*/{STATE}"))
    return folders[-1].parent if folders else None


def save(engine: DeepSpeedEngine, folder: Path, state: State, world: World) -> None:
    """Writes a checkpoint and then deletes the trial's older ones. Every rank must call.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        engine.save_checkpoint(str(folder), tag=_TAG, save_latest=True)
        world.barrier()
        if world.rank == 0:
            text = json.dumps(asdict(state), indent=1)
            partial = folder / f"{STATE}.partial"
            with partial.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave a name without its content
            partial.rename(folder / STATE)
            for other in folder.parent.glob("samples-*"):
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"checkpoints must be writable, got {error} for {folder}; free space or choose another --output"
        ) from error


def load(engine: DeepSpeedEngine, folder: Path) -> None:
    """Restores weights, optimizer and loss scaler of the present stage. Every rank must call."""
    engine.load_checkpoint(str(folder), tag=_TAG)


def fp32_weights(folder: Path) -> dict[str, Tensor]:
    """Returns weights and buffers of a checkpoint in fp32, gathered from the shards of all ranks, frozen ones too."""
    import torch
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    weights: dict[str, Tensor] = {}
    states = folder / _TAG / _MODEL_STATES
    # Everything but at stage 3, rounded to the precision of training; the file is our own.
    if states.exists():
        module = torch.load(states, map_location="cpu", weights_only=False)["module"]
        weights = {name: tensor.float() for name, tensor in module.items()}
    if any((folder / _TAG).glob(_OPTIMIZER_SHARDS)):  # what was trained, unrounded; all of it at stage 3
        weights |= get_fp32_state_dict_from_zero_checkpoint(str(folder), tag=_TAG)
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}
