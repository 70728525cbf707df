"""Checkpoints of a trial: one folder per evaluation, complete or absent. Retention keeps the newest and the best.

``DIRECTORY/TRIAL/samples-000002048/`` holds DeepSpeed's files of every rank (weights, optimizer, loss scaler) and
``state.json`` (counters, report, configuration, digests). The order of samples, masks and dropout follow from the
seed and the number of samples seen, so there is no generator state to save.
"""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.contract import Mode
from thalweg.errors import TrialError
from thalweg.files import (
    cause_of,
    discard,
    draft_of,
    publish,
    refusal,
    sync,
)
from thalweg.study_folder import checkpoint_name, checkpoints_of
from thalweg.training.checkpoints import resharding
from thalweg.training.checkpoints.milestones import Milestones
from thalweg.training.checkpoints.places import WAY_OUT, WHAT, link, remove
from thalweg.training.checkpoints.state import FROM_BEFORE, STATE, TrainingState, complete, damage, incomplete
from thalweg.training.engine.half_precision import saved_masters, widened
from thalweg.training.messages import best_of
from thalweg.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine
    from torch import Tensor

_TAG = "weights"
_MODEL_STATES = "*model_states.pt"
_OPTIMIZER_SHARDS = "*zero_pp_rank_*optim_states.pt"
_CLIPPING = "clip_grad"  # where DeepSpeed's optimizers keep the largest norm
_STATE_OF_GROUPS = ("params", "step")


def clear(trial: Path, home: Path) -> None:
    """Deletes incomplete checkpoints, left in a trial's folder by a process that died or by a full disk."""
    for folder in incomplete(trial):
        remove(folder, home)


def save(
    engine: DeepSpeedEngine,
    folder: Path,
    state: TrainingState,
    group: ProcessGroup,
    milestones: Milestones | None = None,
) -> None:
    """Writes a checkpoint, whole or not at all. Every rank must call.

    Args:
        engine: Holds weights and optimizer.
        folder: The checkpoint.
        state: What else there is to record.
        group: The workers.
        milestones: Earlier weights that are kept with it.

    Raises:
        OutputError: The folder cannot be written; ``errno`` is that of the system.
    """
    draft = draft_of(folder)
    try:
        if group.rank == 0:
            discard(draft)
            draft.mkdir(parents=True)
        group.barrier()
        engine.save_checkpoint(str(draft), tag=_TAG, save_latest=True)
        sync(draft)  # ranks on different machines each sync what they wrote
        group.barrier()
        if group.rank == 0:
            if milestones is not None:
                milestones.write(draft)
            state.write(draft, folder)
            publish(draft, folder, overwrite=True)  # of one that was damaged
    except BaseException as error:
        failed = isinstance(error, Exception)  # not a Ctrl-C, whatever error it fell upon
        cause = cause_of(error, draft if draft.exists() else folder.parent) if failed else None
        if group.rank == 0:
            discard(draft)
        if cause is None:
            raise
        raise refusal(WHAT, folder, cause, WAY_OUT) from error


def tidy(
    newest: Path, mode: Mode, keep_last: int, earlier: Path | None = None, home: Path | None = None
) -> None:
    """Retention: deletes a trial's checkpoints except the newest ones and that of its best evaluation.

    Args:
        newest: The checkpoint that was written last, in the trial's folder.
        mode: Whether a smaller or a larger objective is better.
        keep_last: Number of newest checkpoints that are kept.
        earlier: Folder of the interrupted trial that this one continues and that will be deleted; what is to be kept
            is copied from there.
        home: Folder outside of which nothing is deleted; None takes the parent of the trial's folder.

    Raises:
        OutputError: A checkpoint cannot be copied.
    """
    trial, present = newest.parent, TrainingState.read(newest)
    places = [place for place in (earlier, trial) if place is not None]
    found = {folder.name: folder for place in places for folder in complete(place)}
    states = {name: _read(folder) for name, folder in found.items() if name <= newest.name}
    mine = {name: state for name, state in states.items() if state is not None and _alike(state, present)}
    curve = [(state.report.samples, state.report.value) for state in mine.values()]
    kept = {*sorted(mine)[-keep_last:], checkpoint_name(best_of(curve, mode)[0])}
    for name in kept:
        if found[name].parent != trial:
            link(found[name], trial / name)
    for folder in checkpoints_of(trial):
        if folder.name not in kept:
            remove(folder, home or trial.parent)


def _read(folder: Path) -> TrainingState | None:
    try:
        return TrainingState.read(folder)
    except (OSError, ValueError):
        return None  # damaged: of no use to anybody


def _alike(state: TrainingState, present: TrainingState) -> bool:
    """Whether a checkpoint is of the same trial; those of an earlier version do not name their study."""
    return state.is_of(present.config) and state.study in (FROM_BEFORE, present.study)


def require_loadable(folder: Path, zero_stage: int, group: ProcessGroup) -> None:
    """Refuses a checkpoint that this number of workers cannot load.

    Raises:
        ConfigError: At ZeRO stage 3 another number of workers wrote it.
    """
    resharding.require_loadable(folder / _TAG, zero_stage, group.size)


def load(engine: DeepSpeedEngine, folder: Path, group: ProcessGroup) -> None:
    """Restores weights, optimizer and loss scaler of the present stage, however many workers wrote the checkpoint.

    Settings of the optimizer, such as weight decay, betas and clipping, stay those of the engine: a trial may go on
    from the checkpoint of another configuration, whose settings DeepSpeed would bring back. Every rank must call.
    """
    groups, clipping = _settings(engine), getattr(engine.optimizer, _CLIPPING, None)
    alike = len(resharding.shards(folder / _TAG)) in (0, group.size)
    engine.load_checkpoint(str(folder), tag=_TAG, load_optimizer_states=alike)
    if not alike:
        resharding.load(engine, folder / _TAG, group.rank, group.size)
    for loaded, own in zip(engine.optimizer.param_groups, groups, strict=True):
        loaded.update(own)
    if clipping is not None:
        setattr(engine.optimizer, _CLIPPING, clipping)


def _settings(engine: DeepSpeedEngine) -> list[dict[str, Any]]:
    """Returns the settings of each group of the optimizer, without what is state."""
    return [
        {name: value for name, value in group.items() if name not in _STATE_OF_GROUPS}
        for group in engine.optimizer.param_groups
    ]


def fp32_weights(folder: Path) -> dict[str, Tensor]:
    """Returns weights and buffers of a checkpoint, gathered from the shards of all ranks, frozen ones too.

    They are in fp32; buffers that are wider, or no fractions, stay as they are.
    """
    import torch
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    # Everything, rounded to the precision of training, but at stage 3 no weights; the file is our own.
    states = sorted((folder / _TAG).glob(_MODEL_STATES))[0]
    content = torch.load(states, map_location="cpu", weights_only=False)
    own = {name: widened(tensor) for name, tensor in content["module"].items()}
    weights = own | saved_masters(content)
    if any((folder / _TAG).glob(_OPTIMIZER_SHARDS)):  # what was trained, unrounded; all of it at stage 3
        weights |= get_fp32_state_dict_from_zero_checkpoint(str(folder), tag=_TAG)
        weights |= {name: own[name] for name in content["buffer_names"] if name in own}  # not cut to fp32
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}


def whole(folder: Path) -> tuple[TrainingState, dict[str, Tensor]]:
    """Returns state and fp32 weights of a checkpoint, without DeepSpeed's chatter.

    Raises:
        TrialError: The checkpoint is gone or damaged, or holds no weights.
    """
    if not (folder / STATE).exists():
        raise TrialError(
            f"a checkpoint must exist to be read, got {folder}; bring it back if it was moved, else train the trial "
            "again, with keep_checkpoints high enough in a search"
        )
    if not any((folder / _TAG).glob("*.pt")):
        raise TrialError(f"a checkpoint must hold weights to be read, got none in {folder}")
    if reason := damage(folder):
        raise TrialError(
            f"a checkpoint must be whole to be read, got {folder}, which is damaged ({reason}); restore it from a "
            "copy, take another evaluation's (--at), or train the trial again"
        )
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return TrainingState.read(folder), fp32_weights(folder)
