"""Turns a checkpoint into one plain file for inference, which needs torch alone."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch

from thalweg.errors import OutputError, TrialError
from thalweg.training import checkpoint
from thalweg.training.session import make_task


def export(folder: Path, data_root: Path, file: Path) -> dict[str, int]:
    """Writes ``{"family", "config", "samples", "metrics", "weights"}`` with ``torch.save``.

    The weights are fp32, of the part of the model that `Task.export` keeps, by parameter name;
    ``torch.load(file, weights_only=True)`` reads them.

    Args:
        folder: A checkpoint.
        data_root: Folder of the family's data sets, which give the model its geometry.
        file: File to write.

    Returns:
        Number of tensors and of values.

    Raises:
        TrialError: The checkpoint is gone.
        OutputError: The file cannot be written.
    """
    if not (folder / checkpoint.STATE).exists():
        raise TrialError(f"a checkpoint must exist to be exported, got {folder}; raise keep_checkpoints")
    state = checkpoint.State.read(folder)
    task = make_task(state.family, state.config)
    model = task.build(task.open(data_root))
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        gathered = checkpoint.fp32_weights(folder)  # DeepSpeed shows its progress
    model.load_state_dict(gathered)
    weights = task.export(model).state_dict()
    content = {
        "family": state.family,
        "config": dict(state.config),
        "samples": state.report.samples_seen,
        "metrics": dict(state.report.metrics),
        "weights": weights,
    }
    try:
        torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch reports a missing folder as RuntimeError
        raise OutputError(f"the exported file must be writable, got {file}: {error}") from None
    return {"tensors": len(weights), "values": sum(tensor.numel() for tensor in weights.values())}
