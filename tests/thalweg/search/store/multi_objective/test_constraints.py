"""Constraints in words, and which trials keep them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from thalweg.analysis.leaderboard import Leaderboard
from thalweg.console.board import render
from thalweg.search.stopping.limits import losses
from thalweg.search.store.multi_objective.constraints import Constraints, in_words
from thalweg.search.store.records import StudyRecord, TrialRecord, expendable
from thalweg.study import Study

SIZE = "cost/num_parameters"
BOTH = Constraints({SIZE: 1_000_000.0}, {"skill_rain": 0.25})


@pytest.mark.parametrize(
    ("metrics", "broken"),
    [
        ({SIZE: 1e6, "skill_rain": 0.25}, ""),
        ({SIZE: 2.5e6, "skill_rain": 0.3}, f"{SIZE} 2,500,000 (at most 1,000,000)"),
        ({SIZE: 1e5, "skill_rain": 0.2}, "skill_rain 0.2 (at least 0.25)"),
        ({SIZE: 1e5}, "skill_rain unknown (at least 0.25)"),
    ],
)
def test_a_trial_breaks_what_lies_beyond_a_bound_or_is_not_known(
    metrics: dict[str, float], broken: str
) -> None:
    assert BOTH.broken(metrics) == broken
    excess = BOTH.excess(metrics)
    assert any(value is None or value > 0 for value in excess.values()) == bool(broken)


def test_the_excess_is_relative_to_the_bound() -> None:
    found = BOTH.excess({SIZE: 3e6, "skill_rain": 0.5})
    assert list(found.values()) == pytest.approx([math.log(3), -math.log(2)])
    below = Constraints({}, {"skill": -2.0})
    assert list(below.excess({"skill": -5.0}).values()) == [1.5]


def test_a_study_says_what_it_looks_for() -> None:
    assert in_words({"skill": "max", SIZE: "min"}, BOTH) == (
        f"skill (max), {SIZE} (min), {SIZE} at most 1,000,000, skill_rain at least 0.25"
    )
    assert in_words({"loss": "min"}, Constraints()) == "loss (min)"


@pytest.fixture
def study(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> StudyRecord:
    """Trials 0 to 3, of which the best by skill, 0 and 1, are larger than the study allows."""
    sizes = {0: 9e6, 1: 5e6, 2: 1e5, 3: 1e6}
    trials = [
        make_trial(number, 0.9 - number / 10, metrics={SIZE: size}, checkpoint=f"/kept/{number}/samples-1")
        for number, size in sizes.items()
    ]
    record = make_record(*trials)
    settings: dict[str, Any] = {"num_trials": 10, "at_most": {SIZE: 1e6}}
    return replace(record, definition={**record.definition, "study": settings})


def test_trials_that_break_a_constraint_rank_behind_those_that_keep_it(study: StudyRecord) -> None:
    assert [trial.number for trial in study.ranking()] == [2, 3, 0, 1]
    assert [trial.number for trial in expendable(study, 1)] == [0, 1, 3]
    asked = Study(metric="skill", mode="max", samples=800, at_most={SIZE: 1e6})
    assert losses(asked, study.trials) == [None, None, pytest.approx(-0.7), pytest.approx(-0.6)]


def test_the_leaderboard_says_which_trials_break_a_constraint(
    study: StudyRecord, page: Callable[..., Any]
) -> None:
    console, text = page(width=100)
    console.print(render(Leaderboard(record=study, baselines={}), 100))
    told = text.getvalue()
    [row] = [line.split() for line in told.splitlines() if line.startswith("constraints")]
    assert row == ["constraints", "kept", "kept", "broken", "broken"]
    assert f"2 of 4 complete trials break {SIZE} at most 1,000,000, and rank behind the others" in told
    alone = replace(study, trials=study.trials[:2])
    console.print(render(Leaderboard(record=alone, baselines={}), 100))
    assert "2 of 2 complete trials break" in text.getvalue()


def test_a_study_of_an_earlier_version_has_no_constraints(
    study: StudyRecord,
) -> None:
    old = replace(study, definition={**study.definition, "study": {"num_trials": 10}})
    assert not old.constraints and not old.also
    assert [trial.number for trial in old.ranking()] == [0, 1, 2, 3]
