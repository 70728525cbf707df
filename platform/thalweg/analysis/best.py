"""The best trial of a study, and its model in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thalweg.analysis.declared import family_of
from thalweg.analysis.studies import ended
from thalweg.datasets.catalogue import data_root
from thalweg.errors import StudyError
from thalweg.search.store.records import At, EvaluationRecord, StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class WrittenModel:
    """A model in one file.

    Attributes:
        file: The file.
        num_values: Number of its weights.
        num_tensors: Number of the tensors that hold them.
        metric: Name of the objective.
        evaluation: The evaluation whose weights it holds.
    """

    file: Path
    num_values: int
    num_tensors: int
    metric: str
    evaluation: EvaluationRecord


def best_trial(record: StudyRecord) -> TrialRecord:
    """Returns the best complete trial.

    Raises:
        StudyError: No trial is complete.
    """
    best = record.best()
    if best is None:
        counts = ended(record)
        found = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no trial that ended"
        raise StudyError(
            f"a study must have a complete trial to have a best one, {record.name!r} has {found}"
        )
    return best


def checkpoint_place(record: StudyRecord, checkpoint: str | None) -> str:
    """Returns where a checkpoint lies, or in words why there is none."""
    if checkpoint is None or Path(checkpoint).exists():
        return checkpoint or "not kept"
    return f"gone: {checkpoint}" if record.keeps_checkpoints else "not kept"


def export_best(
    record: StudyRecord, file: Path, root: Path | None = None, at: At = "last", part: str | None = None
) -> WrittenModel:
    """Writes the best trial's model, or a part of it, to one file.

    Args:
        record: The study.
        file: File to write.
        root: Folder of all data.
        at: The evaluation whose weights are written.
        part: The part of the model, a key of `Task.parts`; None writes all of it.

    Raises:
        ThalwegError: There is no best trial, its checkpoint is gone, or the file cannot be written.
    """
    from thalweg.training.checkpoints.export import export  # torch and DeepSpeed

    evaluation = record.evaluation(best_trial(record), at)
    folder = Path(evaluation.checkpoint or "none")
    sizes = export(folder, data_root(family_of(record), root), file, part)
    return WrittenModel(
        file=file,
        num_values=sizes["values"],
        num_tensors=sizes["tensors"],
        metric=str(record.definition["metric"]),
        evaluation=evaluation,
    )
