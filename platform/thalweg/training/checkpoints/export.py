"""Exports a checkpoint: to one file that needs no data, for inference or as a starting point, or to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.contract import Data, Task
from thalweg.errors import DataError
from thalweg.files import atomic_file, cause_of, refusal
from thalweg.inference import as_tensors, take_part
from thalweg.training.checkpoints import checkpoint
from thalweg.training.checkpoints.frozen_weights import sha256_of
from thalweg.training.checkpoints.state import TrainingState
from thalweg.training.guards.family_code import blaming
from thalweg.training.protocol import protocol_of
from thalweg.training.session import make_task


def export(folder: Path, data_root: Path, file: Path, part: str | None = None) -> dict[str, int]:
    """Writes a model to a file for `thalweg.inference`; ``torch.load(file, weights_only=True)`` reads it too.

    The file holds a dictionary. ``weights`` are in fp32, by parameter name; ``data`` is what `Task.facts` returns;
    ``protocol`` is the evaluation protocol of the ``metrics``; ``part`` is the part of the model, None for all of it.
    ``family``, ``config``, ``samples`` and ``data_fingerprint`` are as recorded.

    Args:
        folder: A checkpoint.
        data_root: Folder of the family's data sets.
        file: File to write.
        part: The part of the model to write, a key of `Task.parts`; None writes all of it.

    Returns:
        Number of tensors and of values.

    Raises:
        ConfigError: The family has no such part.
        DataError: The data are no longer those that the model was trained on.
        TrialError: The checkpoint is gone, or the family's code raises.
        OutputError: The file cannot be written.
    """
    state, gathered = checkpoint.whole(folder)
    task = make_task(state.family, state.config)
    with blaming(state.family):
        data = task.open(data_root)
        _require_same(data, state)
        model = take_part(task, _model(task, data, gathered), part)
        weights = model.state_dict()
        content = _content(state, weights) | {
            "part": part,
            "data": as_tensors(task.facts(data)),
            "data_fingerprint": data.fingerprint,
            "protocol": dict(protocol_of(state.family, task, data)),
        }
    _save(content, file, "the exported file", "free space or name another file")
    return {"tensors": len(weights), "values": sum(tensor.numel() for tensor in weights.values())}


def draw(folder: Path, data_root: Path, target: Path) -> list[Path]:
    """Draws pictures of what the model of a checkpoint does.

    Args:
        folder: The checkpoint.
        data_root: Folder of the family's data sets.
        target: An empty folder.

    Returns:
        The pictures, by name; none if the family draws nothing.

    Raises:
        TrialError: The checkpoint is gone, or the family's code raises.
    """
    state, gathered = checkpoint.whole(folder)
    task = make_task(state.family, state.config)
    with blaming(state.family), torch.no_grad():
        data = task.open(data_root)
        task.draw(_model(task, data, gathered).eval(), data, target)
    return sorted(target.glob("*.png"))


def freeze(folder: Path, file: Path, entries: Mapping[str, Any]) -> str:
    """Writes frozen weights, a starting point for other studies: the whole model in the form of `export`.

    The file is complete or absent.

    Args:
        folder: A checkpoint.
        file: File to write; its folder exists.
        entries: More entries of the file, as plain values.

    Returns:
        The SHA-256 of the weights: of name, shape and values of each, in the order of the names.

    Raises:
        TrialError: The checkpoint is gone.
        OutputError: The file cannot be written.
    """
    state, gathered = checkpoint.whole(folder)
    weights = {name: gathered[name].clone() for name in sorted(gathered)}  # DeepSpeed's share one storage
    content = {**_content(state, weights), **entries}
    _save(content, file, "weights to start from", "free space and give the same command again")
    return sha256_of(weights)


def _save(content: Mapping[str, Any], file: Path, what: str, way_out: str) -> None:
    try:
        with atomic_file(file) as draft, draft.open("wb") as target:
            torch.save(content, target)
    except (OSError, RuntimeError) as error:  # of torch's writer
        cause = cause_of(error, file.parent) or OSError(str(error))
        raise refusal(what, file, cause, way_out) from None


def _require_same(data: Data, state: TrainingState) -> None:
    trained_on = state.report.provenance.get("data_fingerprint", data.fingerprint)
    if data.fingerprint != trained_on:
        raise DataError(
            f"the data must be those that the model was trained on, got fingerprint {data.fingerprint[:12]} instead of "
            f"{str(trained_on)[:12]}, and other statistics with it; restore them, or name their folder with --data"
        )


def _model(task: Task[Any, Any], data: Data, weights: Mapping[str, Tensor]) -> nn.Module:
    model = task.build(task.facts(data))
    model.load_state_dict(weights)
    return model


def _content(state: TrainingState, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "family": state.family,
        "config": dict(state.config),
        "samples": state.report.samples_seen,
        "metrics": dict(state.report.metrics),
        "weights": weights,
    }
