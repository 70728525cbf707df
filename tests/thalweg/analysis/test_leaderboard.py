"""The leaderboard in numbers; `tests/thalweg/console/test_board.py` draws it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from thalweg.analysis.leaderboard import Leaderboard
from thalweg.search.store.records import StudyRecord, TrialRecord

Record = Callable[..., StudyRecord]
Make = Callable[..., TrialRecord]


@pytest.mark.parametrize(("mode", "order"), [("max", [1, 2, 0]), ("min", [0, 2, 1])])
def test_complete_trials_stand_in_the_order_of_the_objective(
    make_record: Record, make_trial: Make, mode: str, order: list[int]
) -> None:
    record = make_record(make_trial(0, 0.1), make_trial(1, 0.9), make_trial(2, 0.5), mode=mode)
    assert [trial.number for trial in Leaderboard(record=record, baselines={}).ranked()] == order


def test_pruned_trials_follow_by_how_far_they_came(make_record: Record, make_trial: Make) -> None:
    trials = [
        make_trial(0, 0.99, status="pruned", samples=100),
        make_trial(1, 0.5, status="pruned", samples=400),
        make_trial(2, 0.6, status="pruned", samples=400),
        make_trial(3, 0.1),
        make_trial(4, None, status="failed"),
    ]
    board = Leaderboard(record=make_record(*trials), baselines={})
    assert [trial.number for trial in board.ranked()] == [3, 2, 1, 0]


def crossing(make_trial: Make, number: int, early: float, end: float) -> TrialRecord:
    return make_trial(number, end, curve=((100, early), (400, end), (800, end)))


def test_the_rungs_that_stopped_trials_are_compared_with_the_end(
    make_record: Record, make_trial: Make
) -> None:
    """Early values rank the three complete trials as 1, 3, 2 where the end ranks them 1, 2, 3."""
    trials = [crossing(make_trial, *of) for of in ((0, 0.1, 0.5), (1, 0.3, 0.6), (2, 0.2, 0.7))]
    stopped = [
        make_trial(3, 0.1, status="pruned", samples=100, curve=((100, 0.1),)),
        make_trial(4, 0.1, status="pruned", samples=400, curve=((100, 0.1), (400, 0.1))),
    ]
    board = Leaderboard(record=make_record(*trials, *stopped), baselines={})
    assert board.rung_correlations() == pytest.approx({100: 0.5, 400: 1.0})
    assert Leaderboard(record=make_record(*trials), baselines={}).rung_correlations() == {}
    assert Leaderboard(record=make_record(*trials[:2], *stopped), baselines={}).rung_correlations() == {}


@pytest.mark.parametrize(
    ("scheduler", "misled"), [("successive_halving", True), ("expected_improvement", False)]
)
def test_a_rung_against_the_end_misleads_what_stops_by_ranks(
    make_record: Record, make_trial: Make, scheduler: str, misled: bool
) -> None:
    stopped = make_trial(3, 0.1, status="pruned", samples=100, curve=((100, 0.1),))

    def board(*ends: float) -> Leaderboard:
        trials = [crossing(make_trial, number, number / 10, end) for number, end in enumerate(ends)]
        record = make_record(*trials, stopped)
        definition = {**record.definition, "study": {"scheduler": scheduler}}
        return Leaderboard(record=replace(record, definition=definition), baselines={})

    assert board(0.7, 0.6, 0.5).rung_correlations() == pytest.approx({100: -1.0})
    assert board(0.7, 0.6, 0.5).is_misled() is misled
    assert not board(0.5, 0.6, 0.7).is_misled()


def test_a_promoted_trial_and_the_one_that_was_stopped_are_one(make_record: Record, make_trial: Make) -> None:
    trials = [
        make_trial(0, 0.3, status="pruned", samples=100, promoted=True),
        make_trial(1, 0.2, status="failed", continues=0, switch_s=1.5, interrupted=True),
        make_trial(2, 0.1, continues=1, switch_s=9.0),
        make_trial(3, 0.4, status="pruned", samples=100),
    ]
    board = Leaderboard(record=make_record(*trials), baselines={})
    assert [trial.number for trial in board.ranked()] == [2, 3]
    assert [board.promoted_from(trial) for trial in trials] == [None, 0, 0, None]
    assert board.switch_costs() == [1.5]  # the other one was interrupted
    assert len(board.ended()) == 2
