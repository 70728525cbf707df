"""Hold-out: a study's best trial on the split ``test``, by which no trial was selected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.analysis.best import best_trial
from thalweg.analysis.comparison import Comparison
from thalweg.analysis.declared import comparable, family_of, metrics_of
from thalweg.datasets.catalogue import data_root
from thalweg.search.store.records import At, StudyRecord
from thalweg.tracking import additions
from thalweg.training.messages import named_by_stage

if TYPE_CHECKING:
    from thalweg.training.hold_out import HeldOut


def evaluate_best(record: StudyRecord, root: Path | None = None, at: At = "last") -> HeldOut:
    """Evaluates a checkpoint of the best trial on the split ``test``.

    Args:
        record: The study.
        root: Folder of all data.
        at: The evaluation whose checkpoint is taken.

    Raises:
        ThalwegError: There is no best trial, its checkpoint is gone, or the data have no such split.
    """
    from thalweg.training.hold_out import evaluate  # torch and DeepSpeed

    folder = record.evaluation(best_trial(record), at).checkpoint
    return evaluate(Path(folder or "none"), data_root(family_of(record), root))


def invariant(record: StudyRecord, found: HeldOut) -> dict[str, float]:
    """Returns the search-invariant metrics on ``test``, the objective first."""
    return {name: found.test[name] for name in comparable(record) if name in found.test}


def comparison(record: StudyRecord, found: HeldOut) -> Comparison:
    """Returns the comparison with the baselines on ``test``."""
    objective = str(record.definition["metric"])
    return Comparison(found.baselines, metrics_of(record), objective, record.mode)


def track(record: StudyRecord, found: HeldOut, directory: Path, uri: str) -> str:
    """Writes the metrics on ``test`` into MLflow; returns a sentence about it. ``directory`` is the study's folder."""
    number, fit = best_trial(record).number, invariant(record, found)
    stages = {
        stage: {name: metrics[name] for name in fit if name in metrics}
        for stage, metrics in found.test_stages.items()
    }
    metrics = {**fit, **named_by_stage(stages)}
    run = additions.add_hold_out(uri, record.name, directory, number, metrics, samples=found.samples)
    where = "in MLflow" if run else f"not in MLflow, for {uri} does not know the trial"
    return f"trial {number}: test metrics {where}"
