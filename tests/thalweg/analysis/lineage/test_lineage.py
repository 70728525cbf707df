"""The schedules of a population: put together from its trials, shown, drawn, written, refused where they mislead."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from thalweg.analysis.importance.parameters import importance_of
from thalweg.analysis.leaderboard import Leaderboard
from thalweg.analysis.lineage.lineage_picture import figure
from thalweg.analysis.lineage.schedules import as_json, lineage_of
from thalweg.console import board
from thalweg.console.analyses.lineage_view import show_lineage
from thalweg.errors import StudyError
from thalweg.reporting.trial_csv import trial_csv
from thalweg.search.confirmation.contenders import contenders
from thalweg.search.reproduction.original import of_study
from thalweg.search.store.population.lineage import chain, changing, curve_of, schedule
from thalweg.search.store.records import StudyRecord, TrialRecord

SETTINGS = {"population": {"size": 3}, "scheduler": "population", "metric": "loss", "mode": "min"}


def trial(
    number: int, status: Any, params: Mapping[str, Any], curve: tuple[tuple[int, float], ...], **more: Any
) -> TrialRecord:
    usual: dict[str, Any] = {"samples": curve[-1][0] if curve else 0, "config": {"x": params["lr"]}}
    return TrialRecord(
        number=number,
        status=status,
        value=curve[-1][1] if curve else None,
        params=params,
        metrics={},
        seconds=1.0,
        reason="",
        curve=curve,
        checkpoint=None,
        ended_as=status if status in ("complete", "pruned") else None,
        **usual | more,
    )


@pytest.fixture
def record() -> StudyRecord:
    """Trial 3 continues trial 0 in the place of trial 1, and trial 5 continues trial 3 in that of trial 2."""
    wide, narrow = {"lr": 0.1, "width": 8}, {"lr": 0.5, "width": 2}
    heir = {"parent": 0, "parent_samples": 100, "replaces": 1}
    trials = (
        trial(0, "complete", wide, ((100, 0.5), (200, 0.4), (300, 0.3))),
        trial(1, "pruned", narrow, ((100, 0.9),), replaced_by=3),
        trial(2, "pruned", narrow, ((100, 0.6), (200, 0.6)), replaced_by=5),
        trial(3, "failed", wide | {"lr": 0.08}, ((200, 0.2),), interrupted=True, **heir),
        trial(4, "complete", wide | {"lr": 0.08}, ((200, 0.2), (300, 0.15)), continues=3, **heir),
        trial(5, "complete", wide | {"lr": 0.064}, ((300, 0.1),), parent=3, parent_samples=200, replaces=2),
    )
    definition = {
        "metric": "loss",
        "mode": "min",
        "samples": 300,
        "num_evaluations": 3,
        "family": "families.toy",
        "space": "spaces.members",
        "study": SETTINGS,
    }
    return StudyRecord(name="flock", definition=definition, trials=trials)


def test_a_schedule_is_the_chain_of_trials_each_up_to_where_the_next_begins(record: StudyRecord) -> None:
    found = chain(record.trials, 5)
    assert [(each.trial, each.start, each.end, each.params["lr"]) for each in found] == [
        (0, 0, 100, 0.1),
        (3, 100, 200, 0.08),
        (5, 200, 300, 0.064),
    ]
    assert curve_of(found) == ((100, 0.5), (200, 0.2), (300, 0.1))
    assert changing(found) == ("lr",)
    assert [(each.trial, each.start, each.end) for each in chain(record.trials, 4)] == [
        (0, 0, 100),
        (4, 100, 300),
    ]
    assert [(each.trial, each.start, each.end) for each in chain(record.trials, 0)] == [(0, 0, 300)]
    assert schedule(found)[1] == {"trial": 3, "from": 100, "to": 200, "params": {"lr": 0.08, "width": 8}}


def test_places_of_a_population_count_once(record: StudyRecord) -> None:
    assert [each.number for each in record.trials if each.is_over] == [0, 4, 5]
    shown = Leaderboard(record=record, baselines={})
    assert shown.saved() is None
    assert shown.rung_correlations() == {}
    assert shown.num_replaced() == 2


def printed(show: Any) -> str:
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_has_a_row_for_each_segment(record: StudyRecord) -> None:
    text = printed(lambda console: show_lineage(lineage_of(record), console))
    best, *_ = text.split("trial 4  loss")
    assert "trial 5  loss 0.1000" in best
    rows = [line.split() for line in best.splitlines() if " to " in line]
    assert [row[:5] for row in rows] == [
        ["0", "to", "100", "0", "0.5000"],
        ["100", "to", "200", "3", "0.2000"],
        ["200", "to", "300", "5", "0.1000"],
    ]
    assert [row[5] for row in rows] == ["0.1", "0.08", "0.064"]
    assert "stays as it is: width=8" in best
    assert "2 trials ended at a mark. thalweg reproduce flock --trial N" in text


def test_the_leaderboard_says_that_values_changed(record: StudyRecord) -> None:
    text = printed(lambda console: board.show(Leaderboard(record=record, baselines={}), console, ()))
    assert "trial 3 at 200" in text
    assert "2 more trials ended at a mark" in text and "thalweg lineage flock" in text
    assert "3 trials: 3 complete, 0 pruned, 0 failed" in text


def test_the_picture_has_a_line_for_each_schedule(record: StudyRecord) -> None:
    drawn = figure(lineage_of(record))
    curves, rates = drawn.axes
    assert rates.get_ylabel() == "lr"
    best = [line for line in rates.lines if line.get_color() == "#2166ac"]
    line = np.asarray(best[0].get_data(), float)
    assert line.tolist() == [
        [0, 100, 100, 200, 200, 300],
        [0.1, 0.1, 0.08, 0.08, 0.064, 0.064],
    ]
    assert len(curves.lines) == 3


def test_json_and_csv_hold_the_lineage(record: StudyRecord) -> None:
    found = json.loads(json.dumps(as_json(lineage_of(record, 5))))
    assert found["changing"] == ["lr"] and found["num_replaced"] == 2
    (only,) = found["schedules"]
    assert [each["trial"] for each in only["segments"]] == [0, 3, 5]
    rows = list(csv.DictReader(io.StringIO(trial_csv(record))))
    assert [rows[5][name] for name in ("parent", "parent_samples", "replaces")] == ["3", "200", "2"]
    assert rows[0]["parent"] == ""


def test_what_takes_values_for_constant_ones_is_refused(record: StudyRecord) -> None:
    with pytest.raises(
        StudyError, match=r"importance needs trials whose values stay .* 'flock', a population"
    ):
        importance_of(record)
    with pytest.raises(StudyError, match="a confirmation needs trials whose values stay"):
        contenders(record)


def test_a_schedule_is_reproduced_with_the_configuration_of_each_segment(
    record: StudyRecord, tmp_path: Path
) -> None:
    found = of_study(record, 5, tmp_path)
    assert [found.config_at(samples)["x"] for samples in (100, 200, 300)] == [0.1, 0.08, 0.064]
    assert found.curve == ((100, 0.5), (200, 0.2), (300, 0.1))
    assert of_study(record, 0, tmp_path).segments == ()


def test_a_lineage_is_that_of_a_population(record: StudyRecord) -> None:
    other = StudyRecord(name="other", definition={"metric": "loss", "mode": "min"}, trials=record.trials[:1])
    with pytest.raises(StudyError, match="a lineage is that of a population, got 'other'"):
        lineage_of(other)
    with pytest.raises(StudyError, match="by its number, got 6 trials in 'flock' and number 9"):
        lineage_of(record, 9)
