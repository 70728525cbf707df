"""Where a search stands, event by event, on a clock that the test turns."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from thalweg.analysis.progress import Standing
from thalweg.events import (
    BaselineEvaluated,
    Event,
    StudyExtended,
    StudyStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from thalweg.search.stopping.expected_improvement import expected_improvement
from thalweg.search.store.records import TrialRecord

Started = Callable[..., StudyStarted]


@dataclass
class Clock:
    """A clock that stands still."""

    now: float = 0.0

    def __call__(self) -> float:
        """Reads it."""
        return self.now


def progress(number: int, samples: int, value: float, seconds: float = 1.0) -> TrialProgress:
    timings = {"train_s": seconds} if seconds else {}
    return TrialProgress(number=number, samples=samples, value=value, metrics={}, timings=timings)


def end(number: int, status: str = "complete", value: float | None = 0.5, reason: str = "") -> TrialEnded:
    return TrialEnded(number=number, status=status, value=value, samples=800, seconds=9.0, reason=reason)  # type: ignore[arg-type]


def begin(number: int) -> TrialStarted:
    return TrialStarted(number=number, params={"lr": number}, config={})


def test_every_end_is_counted_once(started: Started) -> None:
    standing = Standing()
    events: list[Event] = [
        begin(0),
        end(0),
        begin(1),
        end(1, "pruned"),
        begin(2),
        end(2, "failed", None, "broken"),
        begin(3),
    ]
    for event in [started(), *events]:
        standing.observe(event)
    assert standing.counts == {"complete": 1, "pruned": 1, "failed": 1}
    assert list(standing.running) == [3]


def test_trials_that_are_added_are_part_of_what_is_to_come(started: Started) -> None:
    standing = Standing()
    for event in (started(num_trials=1), begin(0), end(0)):
        standing.observe(event)
    assert standing.progress == 1.0
    standing.observe(StudyExtended(num_trials=4))
    assert standing.progress == 0.25


def test_an_interrupted_trial_is_none_of_the_ended_ones(started: Started) -> None:
    standing = Standing()
    for event in (started(), begin(0), end(0, "failed", 0.9, "interrupted: the search was stopped")):
        standing.observe(event)
    assert standing.num_ended == 0
    assert standing.num_interrupted == 1


def test_the_outlook_counts_trials_of_earlier_sessions_and_those_stopped_early(
    started: Started, make_trial: Callable[..., TrialRecord]
) -> None:
    values = [0.31, 0.52, 0.47, 0.66, 0.38, 0.59]
    earlier = [make_trial(number, value) for number, value in enumerate(values)]
    standing = Standing([*earlier, make_trial(6, None, status="failed", interrupted=True)])
    standing.observe(started(definition={"lookahead": 4}))
    assert standing.outlook() is None  # six are too few
    ends = [end(7, "pruned", 0.2), end(8, "failed", None, "interrupted: stopped"), end(9, value=0.7)]
    events: list[Event] = [*(begin(number) for number in (7, 8, 9)), *ends]
    for event in events:
        standing.observe(event)
    losses = [*(-value for value in values), None, -0.7]
    assert standing.outlook() == (4, expected_improvement(losses, 4))


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 2)])
def test_best_is_the_best_complete_trial(started: Started, mode: str, best: int) -> None:
    standing = Standing()
    ends: list[Event] = [
        end(0, value=0.5),
        end(1, value=0.7),
        end(2, value=0.3),
        end(3, "pruned", 0.9),
        end(4, "pruned", 0.1),
    ]
    for event in [started(mode=mode), *(begin(number) for number in range(5)), *ends]:
        standing.observe(event)
    assert standing.best is not None
    assert (standing.best.number, standing.best.params) == (best, {"lr": best})


def test_only_an_improvement_is_told_as_new_best(started: Started) -> None:
    standing = Standing()
    for event in (started(), begin(0), begin(1), begin(2)):
        standing.observe(event)
    assert [standing.observe(end(n, value=v)) for n, v in ((0, 0.5), (1, 0.4), (2, 0.6))] == [
        True,
        False,
        True,
    ]


def test_trials_of_earlier_sessions_count(started: Started, make_trial: Callable[..., TrialRecord]) -> None:
    earlier = [
        make_trial(0, 0.9),
        make_trial(1, status="pruned"),
        make_trial(2, status="failed", interrupted=True),
        make_trial(3, status="running"),
    ]
    standing = Standing(earlier)
    standing.observe(started())
    assert standing.counts == {"complete": 1, "pruned": 1, "failed": 0}
    assert standing.best is not None and standing.best.number == 0


def test_progress_counts_ended_trials_whole_and_running_ones_by_their_samples(started: Started) -> None:
    standing = Standing()
    for event in (
        started(),
        begin(0),
        progress(0, 100, 0.1),
        end(0, "pruned"),
        begin(1),
        progress(1, 400, 0.2),
    ):
        standing.observe(event)
    assert standing.progress == pytest.approx((1 + 0.5) / 10)


def test_time_left_is_unknown_before_the_first_evaluation(started: Started) -> None:
    standing = Standing()
    for event in (started(), begin(0)):
        standing.observe(event)
    assert standing.seconds_left() is None


def test_time_left_is_an_upper_bound_until_a_trial_has_ended(started: Started) -> None:
    clock = Clock()
    standing = Standing(clock=clock)
    for event in (started(num_trials=4), begin(0), begin(1)):
        standing.observe(event)
    clock.now = 60.0  # the lanes started
    standing.observe(progress(0, 100, 0.1, seconds=5.0))
    standing.observe(progress(1, 100, 0.1, seconds=5.0))
    # 5 s per 100 samples; 700 left of two trials and 800 of two more, on two lanes
    assert standing.seconds_left() == pytest.approx(((2 * 700 + 2 * 800) * 0.05 / 2, True))


def test_time_left_follows_the_trials_that_ended(started: Started) -> None:
    clock = Clock()
    standing = Standing(clock=clock)
    for event in (started(num_trials=5, num_lanes=1), begin(0)):
        standing.observe(event)
    clock.now = 50.0
    standing.observe(progress(0, 100, 0.1, seconds=10.0))
    clock.now = 60.0
    standing.observe(end(0, "pruned"))
    standing.observe(begin(1))
    clock.now = 65.0
    # a trial took 20 s since a lane took it up; 15 s of the running one and 3 more are left
    assert standing.seconds_left() == pytest.approx((15 + 3 * 20, False))


def test_a_trial_that_outlives_the_others_is_expected_to_finish(started: Started) -> None:
    clock = Clock()
    standing = Standing(clock=clock)
    for event in (started(num_trials=2, num_lanes=1), begin(0), progress(0, 100, 0.1)):
        standing.observe(event)
    clock.now = 10.0
    standing.observe(end(0, "pruned"))
    standing.observe(begin(1))
    clock.now = 30.0
    standing.observe(progress(1, 200, 0.2, seconds=20.0))
    # 200 of 800 samples in 20 s, where the other trial took 10 s in all
    assert standing.seconds_left() == pytest.approx((60, False))


def test_an_inherited_curve_is_no_sign_of_a_lane_at_work(started: Started) -> None:
    standing = Standing()
    for event in (started(), begin(4), progress(4, 100, 0.2, seconds=0.0)):
        standing.observe(event)
    assert not standing.any_trained
    assert standing.running[4].curve == [0.2]


def test_samples_of_an_earlier_session_are_no_part_of_the_pace(started: Started) -> None:
    clock = Clock()
    standing = Standing(clock=clock)
    for event in (started(num_trials=1, num_lanes=1), begin(4), progress(4, 400, 0.2, seconds=0.0)):
        standing.observe(event)
    clock.now = 60.0
    standing.observe(progress(4, 500, 0.3, seconds=20.0))
    # 100 samples in 20 s; 300 are left
    assert standing.seconds_left() == pytest.approx((60, True))


def test_the_leader_is_the_running_trial_with_the_best_last_value(started: Started) -> None:
    standing = Standing()
    for event in (
        started(),
        begin(0),
        begin(1),
        progress(0, 100, 0.3),
        progress(1, 100, 0.2),
        progress(1, 200, 0.4),
    ):
        standing.observe(event)
    leader = standing.leader()
    assert leader is not None and leader.number == 1


def test_baselines_are_kept_by_the_objective(started: Started) -> None:
    standing = Standing()
    standing.observe(started())
    standing.observe(BaselineEvaluated(name="climatology", metrics={"skill": 0.2, "loss": 3.0}))
    assert standing.baselines == {"climatology": 0.2}


@pytest.mark.parametrize(("mode", "name", "mark"), [("max", "ridge", "-"), ("min", "climatology", "-")])
def test_the_best_baseline_is_known_by_the_direction(
    started: Started, mode: str, name: str, mark: str
) -> None:
    standing = Standing()
    assert standing.best_baseline() is None
    standing.observe(started(mode=mode))
    for baseline, value in (("climatology", 0.2), ("ridge", 0.9)):
        standing.observe(BaselineEvaluated(name=baseline, metrics={"skill": value}))
    best = standing.best_baseline()
    assert best is not None and best.name == name and best.mark(0.5) == mark
    assert standing.known_baselines()[0] == (name, {"climatology": 0.2, "ridge": 0.9}[name])


def test_a_trial_that_is_promoted_was_not_stopped(started: Started) -> None:
    standing = Standing()
    for event in (started(), begin(0), end(0, "pruned"), begin(1), end(1, "pruned")):
        standing.observe(event)
    assert standing.counts["pruned"] == 2
    standing.observe(TrialStarted(number=2, params={}, config={}, tags={"continues": "0"}))
    assert (standing.counts["pruned"], standing.num_ended) == (1, 1)
    standing.observe(end(2, "failed", reason="interrupted"))
    standing.observe(TrialStarted(number=3, params={}, config={}, tags={"continues": "2"}))
    standing.observe(end(3))
    assert standing.counts == {"complete": 1, "pruned": 1, "failed": 0}


def test_members_of_a_population_that_are_replaced_do_not_count(started: Started) -> None:
    standing = Standing()
    heir = TrialStarted(
        number=2, params={}, config={}, tags={"parent": "0", "parent_samples": "400", "replaces": "1"}
    )
    first = started(num_trials=2, definition={"scheduler": "population"})
    for event in (first, begin(0), begin(1), end(1, "pruned"), heir):
        standing.observe(event)
    assert (standing.num_ended, standing.counts["pruned"]) == (0, 0)
    assert standing.running[2].samples == standing.running[2].inherited == 400
    assert standing.progress == pytest.approx(400 / 800 / 2)
    for event in (end(0), end(2)):
        standing.observe(event)
    assert (standing.num_ended, standing.progress, standing.outlook()) == (2, 1.0, None)
