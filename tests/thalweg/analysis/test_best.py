"""The best trial of a study, and its model in one file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from thalweg.analysis.best import best_trial, export_best
from thalweg.console.best_view import export_sentence
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import checkpoint_name

Record = Callable[..., StudyRecord]
Make = Callable[..., TrialRecord]


def test_a_study_without_a_complete_trial_has_no_best(make_record: Record, make_trial: Make) -> None:
    record = make_record(make_trial(0, status="pruned"), make_trial(1, status="failed"))
    with pytest.raises(StudyError, match="1 pruned, 1 failed"):
        best_trial(record)


def test_the_weights_of_the_asked_evaluation_are_exported(
    make_record: Record, make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def export(folder: Path, data_root: Path, file: Path, part: str | None) -> dict[str, int]:
        asked.append((folder.name, part))
        return {"tensors": 1, "values": 2}

    monkeypatch.setattr("thalweg.training.checkpoints.export.export", export)
    curve = ((400, 0.8), (800, 0.5))
    record = make_record(make_trial(0, 0.5, checkpoint=str(tmp_path / checkpoint_name(800)), curve=curve))
    assert "skill 0.5000 after 800 samples" in export_sentence(export_best(record, tmp_path / "x.pt"))
    told = export_sentence(export_best(record, tmp_path / "x.pt", at="best", part="encoders"))
    assert "skill 0.8000 after 400 samples" in told
    assert asked == [(checkpoint_name(800), None), (checkpoint_name(400), "encoders")]
