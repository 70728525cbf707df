"""Metrics, costs and curves of trials, beside those of the first."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.trial_rows import cost_rows, curves, metric_rows
from thalweg.contract import Metric
from thalweg.search.store.records import StudyRecord, TrialRecord

Sides = Callable[..., list[Side]]


@pytest.fixture
def sides(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> Sides:
    """Makes trials of one study, whose family declares a skill, an error and a loss that compares no trials."""

    def sides(*changes: dict[str, Any]) -> list[Side]:
        trials = [
            make_trial(number, each.pop("value", 0.5), **each)
            for number, each in enumerate(map(dict, changes))
        ]
        common: dict[str, Any] = {"unit": "mm", "meaning": "a number"}
        declared = (
            Metric(name="skill", mode="max", search_invariant=True, **common),
            Metric(name="error", mode="min", search_invariant=True, **common),
            Metric(name="loss", mode="min", search_invariant=False, **common),
        )
        record = replace(make_record(*trials), metrics=declared)
        return [
            Side(study=record, folder=Path("x"), trial=trial, label=f"trial {trial.number}")
            for trial in trials
        ]

    return sides


def test_metrics_have_their_own_directions(sides: Sides) -> None:
    rows = metric_rows(
        sides(
            {"value": 0.5, "metrics": {"error": 2.0, "loss": 1.0}},
            {"value": 0.7, "metrics": {"error": 3.0, "loss": 9.0}},
            {"value": 0.5, "metrics": {}},
        )
    )
    assert [(row.name, row.unit, row.mode) for row in rows] == [
        ("skill", "mm", "max"),
        ("error", "mm", "min"),
    ]
    skill, error = rows
    assert skill.differences == pytest.approx((0, 0.2, 0)) and skill.judgements == (
        "equal",
        "better",
        "equal",
    )
    assert error.values == (2.0, 3.0, None) and error.judgements == ("equal", "worse", "")


def test_a_trial_that_was_stopped_is_not_judged(sides: Sides) -> None:
    stopped = {"value": 0.1, "status": "pruned"}
    [row] = metric_rows(sides({"value": 0.5}, stopped))
    assert row.judgements == ("equal", "") and row.differences[1] == pytest.approx(-0.4)
    [row] = metric_rows(sides(stopped, {"value": 0.5}))
    assert row.judgements == ("", "")


def test_metrics_after_earlier_stages_come_last_and_those_that_compare_no_trials_not_at_all(
    sides: Sides,
) -> None:
    metrics = {"after_pretraining/error": 4.0, "after_pretraining/loss": 1.0, "error": 2.0, "other": 3.0}
    rows = metric_rows(sides({"metrics": metrics}, {"metrics": {"error": float("nan")}}))
    assert [row.name for row in rows] == ["skill", "error", "after_pretraining/error"]
    assert rows[1].values == (2.0, None) and (rows[2].mode, rows[2].values) == ("min", (4.0, None))


def test_costs_are_multiples_of_those_of_the_first(sides: Sides) -> None:
    cost = "cost/num_parameters"
    rows = cost_rows(
        sides({"metrics": {cost: 100.0}, "seconds": 10.0}, {"metrics": {cost: 50.0}, "seconds": 0.0})
    )
    assert [(row.name, row.ratios) for row in rows] == [
        ("samples", (1.0, 1.0)),
        ("seconds", (1.0, None)),
        (cost, (1.0, 0.5)),
    ]


def test_curves_have_the_evaluations_of_all_trials(sides: Sides) -> None:
    found = curves(sides({"curve": ((64, 0.1), (128, 0.2))}, {"curve": ((128, 0.3), (256, 0.4))}, {}))
    assert found.samples == (64, 128, 256)
    assert found.values == ((0.1, 0.2, None), (None, 0.3, 0.4), (None, None, None))
