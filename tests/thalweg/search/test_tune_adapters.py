"""The searcher and the scheduler on real Ray Tune: every way in which a trial can end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from moody_lane import MoodyLane
from ray import tune

from thalweg.errors import OutputError
from thalweg.events import Event, Notice, TrialEnded
from thalweg.lanes.trainable import ANSWER
from thalweg.search.controller import StudyController
from thalweg.search.space import Space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.tune_adapters import StudyScheduler, StudySearcher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    # Ray leaves sockets and subprocesses to the garbage collector, and warns of its own future defaults.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Run:
    """A study that Tune ran to its end."""

    def __init__(self, ledger: Ledger, folder: Path, moods: dict[int, str]) -> None:
        self.ledger, self.events = ledger, list[Event]()
        self.controller = StudyController(ledger, self.events.append, num_lanes=2)
        marks = folder / "marks"
        marks.mkdir()
        lane = tune.with_parameters(MoodyLane, marks=marks, moods=moods, key=ANSWER)
        tuner = tune.Tuner(
            tune.with_resources(lane, {"CPU": 1}),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(self.controller),
                scheduler=StudyScheduler(self.controller),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        self.results = tuner.fit()
        self.left = self.controller.running
        self.controller.close()


@pytest.fixture
def run_study(
    ray_address: str, make_space: Callable[..., Space], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> Callable[..., Run]:
    def run(moods: dict[int, str], **changes: Any) -> Run:
        return Run(open_ledger(make_space(**changes)), tmp_path, moods)

    return run


def test_every_trial_ends_once_and_as_tune_says(run_study: Callable[..., Run]) -> None:
    moods = {1: "nan", 2: "raise", 3: "give_up", 4: "die_on"}
    run = run_study(moods, num_trials=6, scheduler="none")
    assert run.controller.failure is None
    assert run.left == ()
    trials = run.ledger.trials()
    assert [trial.status for trial in trials] == [
        "complete", "failed", "failed", "failed", "complete", "complete"
    ]  # fmt: skip
    assert trials[1].reason.startswith("loss must be finite, got nan")
    assert "the sensor is broken" in trials[2].reason
    assert trials[3].reason == "no room"
    words = ["complete", "diverged", "infrastructure", "out_of_memory", "complete", "complete"]
    assert [trial.ended_as for trial in trials] == words
    assert all(trial.curve[-1][0] == 800 for trial in trials if trial.status == "complete")
    assert [len(trial.curve) for trial in trials[1:4]] == [1, 1, 1]
    ended = [event for event in run.events if isinstance(event, TrialEnded)]
    assert sorted(event.number for event in ended) == list(range(6))
    assert {e.number: e.status for e in ended} == {t.number: t.status for t in trials}
    assert {e.number: e.ended_as for e in ended} == {t.number: t.ended_as for t in trials}
    retried = {event.text.split()[1] for event in run.events if isinstance(event, Notice)}
    assert retried == {"2", "4"}
    assert run.results.num_terminated == 5  # all but the one whose retries were used up
    assert run.results.num_errors == 1


def test_a_scheduler_stops_trials_and_tune_obeys(run_study: Callable[..., Run]) -> None:
    run = run_study(
        {}, num_trials=9, scheduler="successive_halving"
    )  # each trial is worse than the ones before it
    trials = run.ledger.trials()
    assert [trial.status for trial in trials].count("pruned") >= 7
    assert {trial.curve[-1][0] for trial in trials if trial.status == "pruned"} == {100}
    assert run.results.num_errors == 0


def test_a_full_disk_ends_the_study_and_starts_no_lane_anew(
    run_study: Callable[..., Run], tmp_path: Path
) -> None:
    run = run_study({0: "full"}, num_trials=2, scheduler="none")
    assert isinstance(run.controller.failure, OutputError)
    assert "No space left on device" in str(run.controller.failure)
    assert [trial.interrupted for trial in run.ledger.trials()[:2]] == [True, True]
    assert len(list((tmp_path / "marks").glob("lane-*"))) == 2


def test_a_storage_that_breaks_in_the_middle_ends_tune_in_order(
    run_study: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = 0
    real = Ledger.report

    def report(self: Ledger, number: int, evaluation: Any) -> bool:
        nonlocal reports
        reports += 1
        if reports == 6:
            raise OSError("no space left on device")
        return real(self, number, evaluation)

    monkeypatch.setattr(Ledger, "report", report)
    run = run_study({}, num_trials=9, scheduler="none")
    assert isinstance(run.controller.failure, OSError)
    assert "running" not in [trial.status for trial in run.ledger.trials()]
    assert run.results.num_errors == 0


def test_one_running_trial_at_a_time_is_asked_for_the_baselines(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_ledger(make_space(num_trials=4, scheduler="none"))
    searcher = StudySearcher(StudyController(ledger, lambda event: None, num_lanes=4))
    assert [searcher.suggest(name)["baselines"] for name in "abc"] == [True, False, False]
    searcher.on_trial_complete("b")
    searcher.on_trial_complete("a", error=True)  # before or after it has evaluated them
    assert searcher.suggest("d")["baselines"]
