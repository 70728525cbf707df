"""What a trial leaves and says: checkpoints with a text in place of weights, and reports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.study_folder import checkpoint_name, trial_name
from thalweg.training.checkpoints.state import TrainingState
from thalweg.training.messages import Report


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
    TrainingState(report, config, "lab", 0, study).write(folder, folder)
    return str(folder)


def evaluated(
    samples: int,
    value: float,
    *,
    metrics: Mapping[str, float] | None = None,
    protocol: str | None = None,
    checkpoint: str | None = None,
    final: bool = False,
    **more: Any,
) -> Report:
    """Returns what a group answers at an evaluation; ``final`` is that at the end of the budget."""
    provenance = {**({"protocol_hash": protocol} if protocol else {}), **more.pop("provenance", {})}
    return Report(
        samples=samples,
        samples_seen=samples,
        value=value,
        metrics=metrics or {},
        provenance=provenance,
        checkpoint=checkpoint,
        done=final,
        **more,
    )
