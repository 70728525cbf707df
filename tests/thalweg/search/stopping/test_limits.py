"""What a study has spent, and which limit it reaches first."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from thalweg.search.stopping.limits import has_limits, losses, reached, spent
from thalweg.search.store.records import TrialRecord
from thalweg.study import Study

Make = Callable[..., TrialRecord]
START = datetime(2026, 1, 1)


def _study(**settings: Any) -> Study:
    return Study(metric="skill", mode="max", samples=800, **settings)


@pytest.fixture
def trials(make_trial: Make) -> list[TrialRecord]:
    """Two hours on two lanes: one trial is interrupted, continued an hour later, and one still runs."""

    def timed(number: int, began: float, ended: float | None, **changes: Any) -> TrialRecord:
        end = None if ended is None else START + timedelta(hours=ended)
        return make_trial(number, started=START + timedelta(hours=began), ended=end, **changes)

    return [
        timed(0, 0.0, 0.75, samples=800, seconds=2700.0),
        timed(1, 0.5, 1.0, samples=300, seconds=1800.0, status="failed", interrupted=True),
        timed(2, 0.0, 9.0, samples=100, seconds=0.0, status="failed", interrupted=True),  # its process died
        timed(3, 2.0, 2.5, samples=800, seconds=3600.0, continues=1),
        timed(4, 2.25, None, status="running", samples=200, seconds=0.0),
        make_trial(5, status="waiting", samples=100, continues=2),
    ]


def test_spent_time_is_told_once_and_inherited_samples_are_not_trained_twice(
    trials: list[TrialRecord],
) -> None:
    used = spent(trials, START + timedelta(hours=3))
    assert used.hours == pytest.approx(1.0 + 1.0)
    assert used.lane_hours == pytest.approx(0.75 + 0.5 + 0.5 + 0.75)
    assert used.samples == 800 + 300 + 100 + 500 + 200


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_hours": 2.0}, "its trials ran for 2 hours, max_hours is 2; raise it"),
        ({"max_lane_hours": 2.5}, "its trials took 2.5 lane-hours, max_lane_hours is 2.5; raise it"),
        ({"max_total_samples": 1900}, "its trials saw 1,900 samples, max_total_samples is 1,900; raise it"),
        ({"max_hours": 2.1, "max_lane_hours": 2.6, "max_total_samples": 1901}, ""),
    ],
)
def test_a_limit_is_reached_when_as_much_is_spent(
    limits: dict[str, Any], told: str, trials: list[TrialRecord]
) -> None:
    study = _study(**limits)
    assert has_limits(study)
    found = reached(study, trials, START + timedelta(hours=3))
    assert found.startswith(told) and bool(found) == bool(told)


def test_a_study_without_limits_has_none(trials: list[TrialRecord]) -> None:
    assert not has_limits(_study())
    assert reached(_study(), trials, START + timedelta(days=300)) == ""


def test_a_study_ends_once_more_trials_would_bring_too_little(make_trial: Make) -> None:
    trials = [make_trial(number, 0.5 + number / 100) for number in range(12)]
    study = _study(min_improvement=0.5, lookahead=4)
    assert reached(study, trials[:7]) == ""  # too few to tell
    told = reached(study, trials)
    assert told.startswith("the next 4 trials are expected to improve skill by 0.0")
    assert told.endswith(", min_improvement is 0.5; lower it to go on")
    assert reached(_study(min_improvement=1e-6, lookahead=4), trials) == ""


def test_losses_are_those_of_trials_that_ended_for_good(make_trial: Make) -> None:
    trials = [
        make_trial(0, 0.5),
        make_trial(1, 0.9, status="pruned"),
        make_trial(2, None, status="failed", interrupted=True),
        make_trial(3, None, status="failed"),
        make_trial(4, 0.7, status="running"),
    ]
    assert losses(_study(), trials) == [-0.5, None, None]
