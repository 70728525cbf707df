"""The report of a study of many trials, and of a grid."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Never

import pytest

from thalweg.analysis.importance.parameters import ParameterImportance, StudyImportance
from thalweg.contract import Metric
from thalweg.errors import StudyError
from thalweg.reporting.blocks import ReportTable
from thalweg.reporting.html_page import html
from thalweg.reporting.markdown_page import markdown
from thalweg.reporting.material import gather
from thalweg.reporting.study_report import study_report
from thalweg.reporting.trial_csv import trial_csv
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study import Study

SKILL = Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="Of all.")
WEIGHED = StudyImportance(
    parameters=(
        ParameterImportance(name="$x^$<", importance=0.75, interval=(0.5, 1.25), num_trials=7),
        ParameterImportance(name="seed", importance=-0.1, interval=(-0.5, 0.25), num_trials=7),
    ),
    fixed=(),
    explained=0.5,
    num_complete=7,
    num_stopped=1,
)
NOW = datetime(2026, 1, 2, 3, 4)


def _unweighed(record: StudyRecord) -> Never:
    raise StudyError("not asked here")


def _of(record: StudyRecord, settings: dict[str, Any]) -> StudyRecord:
    definition = {**record.definition, "study": settings, "num_evaluations": 4}
    return replace(record, definition=definition, metrics=(SKILL,))


@pytest.mark.slow
def test_a_thousand_trials_make_a_small_page_at_once(
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("thalweg.reporting.material.importance_of", _unweighed)
    trials = []
    for number in range(1000):
        value = (number * 371 % 1000) / 1000
        stopped = value < 0.3
        curve = tuple((200 * (k + 1), value - 0.1 / (k + 1)) for k in range(1 if stopped else 4))
        params = {f"knob_{k}": (number * (k + 3)) % 101 / 10 for k in range(8)} | {
            "fusion": "abc"[number % 3]
        }
        status = "pruned" if stopped else "complete"
        trials.append(make_trial(number, value, params=params, curve=curve, status=status))
    record = _of(make_record(*trials), {"num_trials": 1000})
    began = time.process_time()
    report = study_report(gather(record, tmp_path / "rivers"), NOW)
    page, twin, table = html(report), markdown(report, "pictures"), trial_csv(record)
    assert time.process_time() - began < 60
    assert len(page) < 3_000_000
    assert "The best 100 of 700 complete trials, best skill first" in page
    assert "<code>trials.csv</code> holds all trials" in page
    assert "The best 100 of 700 complete trials" in twin
    assert table.count("\n") == 1001


@pytest.mark.slow
def test_the_cells_of_a_grid_are_compared_over_their_seeds(
    fusions: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.reporting.material.importance_of", lambda record: WEIGHED)
    cells = tuple(dict(trial.params) for trial in fusions.trials if trial.status == "complete")
    settings = Study(metric="skill", mode="max", samples=800, first_trials=cells, num_trials=len(cells))
    report = study_report(gather(_of(fusions, settings.model_dump(mode="json")), tmp_path / "rivers"), NOW)
    groups = next(chapter for chapter in report.chapters if chapter.key == "groups")
    table = groups.blocks[0]
    assert isinstance(table, ReportTable)
    assert [[cell.text for cell in row.cells[:2]] for row in table.rows] == [
        ["concat", "3"],
        ["add", "3"],
        ["gated", "1"],
    ]
    page = html(report)
    assert "0.8000 +- 0.1732" in page
    assert "the ranking stands on 3 seeds of the search" in page
    assert "$x^$&lt; matters; 1 parameter is not shown to." in page
    assert "<td>0.75</td><td>[0.50, 1.00]</td>" in page and "<td>0.00</td><td>[0.00, 0.25]</td>" in page
    assert "cannot be loaded from here" in page


@pytest.mark.parametrize("status", ["pruned", "failed"])
def test_a_study_without_a_complete_trial_has_a_report_that_says_so(
    status: str,
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    tmp_path: Path,
) -> None:
    seen: dict[str, Any] = {"curve": ((200, 0.5),)} if status == "pruned" else {"value": None}
    word = "pruned" if status == "pruned" else "data"
    record = _of(make_record(make_trial(0, status=status, ended_as=word, **seen)), {"num_trials": 3})
    page = html(study_report(gather(record, tmp_path / "rivers"), NOW))
    assert f"No trial is complete, so that there is no best one (1 {status})." in page
    assert "nothing to confirm" in page
    assert "stopped after 1 of 3 trials" in page


@pytest.mark.slow
def test_further_objectives_and_constraints_are_told(
    fusions: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.reporting.material.importance_of", _unweighed)
    bounds = {"also": {"cost/num_parameters": "min"}, "at_most": {"cost/num_parameters": 2000}}
    page = html(study_report(gather(_of(fusions, {"num_trials": 9, **bounds}), tmp_path / "rivers"), NOW))
    assert "2 of 7 complete trials break cost/num_parameters at most 2,000" in page
    assert "Trial 4 is the best of 7 complete trials: skill 0.9000" in page
    assert [f"{number} (breaks)" in page for number in (2, 4, 5)] == [True, False, True]
    assert page.index(">5 (breaks)<") > page.index(">6<")  # it is better and ranks behind
    assert "2 of 5 complete trials are beaten by none in all objectives." in page
