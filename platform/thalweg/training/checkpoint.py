"""Checkpoints of a trial: one folder per evaluation, complete or absent; the newest and the best are kept.

``DIRECTORY/TRIAL/samples-000002048/`` holds DeepSpeed's files (weights, optimizer, loss scaler, of every rank)
and ``state.json`` (counters, report, configuration). The order of samples, masks and dropout follow from the seed and
the number of samples seen, so there is no generator state to save.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.contract import Mode
from thalweg.errors import OutputError, TrialError
from thalweg.training.half_precision import saved_masters
from thalweg.training.orders import Report, best_of, checkpoint_name
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
    """Writes a checkpoint, whole or not at all. Every rank must call.

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
    except OSError as error:
        raise OutputError(
            f"checkpoints must be writable, got {error} for {folder}; free space or choose another --output"
        ) from error


def tidy(newest: Path, mode: Mode, keep_last: int, earlier: Path | None = None) -> None:
    """Deletes a trial's checkpoints but the newest ones and that of its best evaluation.

    Args:
        newest: The checkpoint that was written last, in the trial's folder.
        mode: Whether a smaller or a larger objective is better.
        keep_last: Newest checkpoints that are kept.
        earlier: Folder of the interrupted trial that this one continues and that will be deleted; what is to be kept
            comes over.

    Raises:
        OutputError: A checkpoint cannot come over.
    """
    trial, config = newest.parent, State.read(newest).config
    places = [place for place in (earlier, trial) if place is not None]
    found = {
        state.parent.name: state.parent for place in places for state in place.glob(f"samples-*/{STATE}")
    }
    states = {name: State.read(folder) for name, folder in found.items() if name <= newest.name}
    values = {name: state.report.value for name, state in states.items() if state.config == config}
    curve = [(states[name].report.samples, value) for name, value in values.items()]
    kept = {*sorted(values)[-keep_last:], checkpoint_name(best_of(curve, mode)[0])}
    for name in kept:
        if found[name].parent != trial:
            _link(found[name], trial / name)
    for folder in trial.glob("samples-*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """Makes a folder with the same content, without its bytes where the file system can."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, copy_function=_link_or_copy)
        partial.rename(target)
    except OSError as error:
        raise OutputError(
            f"checkpoints must be writable, got {error} for {target}; free space or choose another --output"
        ) from error


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


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
        content = torch.load(states, map_location="cpu", weights_only=False)
        weights = {name: tensor.float() for name, tensor in content["module"].items()}
        weights |= saved_masters(content)
    if any((folder / _TAG).glob(_OPTIMIZER_SHARDS)):  # what was trained, unrounded; all of it at stage 3
        weights |= get_fp32_state_dict_from_zero_checkpoint(str(folder), tag=_TAG)
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}


def whole(folder: Path) -> tuple[State, dict[str, Tensor]]:
    """Returns state and fp32 weights of a checkpoint, without DeepSpeed's chatter.

    Raises:
        TrialError: The checkpoint is gone, or holds no weights.
    """
    if not (folder / STATE).exists():
        raise TrialError(f"a checkpoint must exist to be read, got {folder}; raise keep_checkpoints")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        weights = fp32_weights(folder)
    if not weights:
        raise TrialError(f"a checkpoint must hold weights to be read, got none in {folder}")
    return State.read(folder), weights
