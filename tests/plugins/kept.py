"""Checkpoints as a trial leaves them, with a text in place of weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.training.orders import Report, checkpoint_name, trial_name
from thalweg.training.state import State


def keep(
    directory: Path,
    number: int,
    samples: int,
    config: Mapping[str, Any],
    *,
    study: str = "",
    value: float = 0.5,
) -> str:
    """Writes a checkpoint of a trial into a study's folder and returns where it lies."""
    folder = directory / "checkpoints" / trial_name(number) / checkpoint_name(samples)
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "all.pt").write_text(f"trial {number} after {samples} samples")
    report = Report(samples=samples, samples_seen=samples, value=value, metrics={})
    State(report, config, "lab", 0, study).write(folder, folder)
    return str(folder)
