"""Whole studies on real Ray Tune, Ray Train, DeepSpeed and Optuna."""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from local_lanes import local_lanes

from thalweg.events import (
    BaselineEvaluated,
    Event,
    Notice,
    StudyEnded,
    StudyStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import Space, load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.records import StudyRecord

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    # Ray warns of its own deprecations while Tune runs in this process.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@dataclass
class Watcher:
    """Keeps all events, and may act on them."""

    act: Callable[[Event], None] = lambda event: None
    events: list[Event] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        """Takes one event."""
        self.events.append(event)
        self.act(event)

    def close(self) -> None:
        """Nothing to deliver."""

    def of(self, kind: type[Any]) -> list[Any]:
        """Returns the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def _toys(**settings: Any) -> Space:
    """A space whose first trial has company that is sound too, whichever lane is killed."""
    space = load_space("spaces.toys")
    first = ({"trouble": "none", "lr": 3e-3}, *space.study.first_trials)
    return replace(space, study=space.study.model_copy(update={"first_trials": first, **settings}))


def _search(space: Space, output: Path, watcher: Watcher, name: str = "toys") -> StudyRecord:
    return search(prepare(space, output / "data"), Options(name=name, output=output / "runs"), [watcher])


@pytest.fixture(scope="module")
def finished(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRecord, Watcher, Path]:
    """A study in which every kind of trouble happens once at least."""
    output, watcher = tmp_path_factory.mktemp("study"), Watcher(_kill_one_lane())
    return _search(_toys(), output, watcher), watcher, output


def _kill_one_lane() -> Callable[[Event], None]:
    """Kills the driver actor of a lane that trains, at the first evaluation of all."""
    killed: list[int] = []

    def kill(event: Event) -> None:
        if isinstance(event, TrialProgress) and not killed:
            killed.append(_lane_that_trains())
            os.kill(killed[0], signal.SIGKILL)

    return kill


def _lane_that_trains() -> int:
    for process in psutil.Process().children(recursive=True):
        name = " ".join(process.cmdline())
        # As Ray names it while it waits, and while it trains.
        if re.search(r"LaneTrainable|ResourceTrainable\.train", name):
            return process.pid
    raise AssertionError("no lane trains")


Finished = tuple[StudyRecord, Watcher, Path]


def test_every_trial_ends_as_exactly_one_of_three(finished: Finished) -> None:
    record, watcher, _ = finished
    assert len(record.trials) == 10
    ended = {event.number: event.status for event in watcher.of(TrialEnded)}
    assert ended == {trial.number: trial.status for trial in record.trials}
    words = {event.number: event.ended_as for event in watcher.of(TrialEnded)}
    assert words == {trial.number: trial.ended_as for trial in record.trials}
    assert set(ended.values()) <= {"complete", "pruned", "failed"}
    assert Counter(ended.values())["complete"] >= 1
    assert len(watcher.of(TrialEnded)) == len(watcher.of(TrialStarted)) == 10


def test_failed_trials_say_why(finished: Finished) -> None:
    record, _, output = finished
    by_trouble = {trial.params["trouble"]: trial for trial in record.trials if trial.number in (2, 3, 4)}
    assert "loss must stay finite" in by_trouble["nan"].reason
    assert by_trouble["nan"].status == by_trouble["bug"].status == "failed"
    assert (by_trouble["nan"].ended_as, by_trouble["bug"].ended_as) == ("diverged", "infeasible")
    assert by_trouble["nan"].curve == ()
    assert "in_loss" in (output / "runs" / "toys" / "failures" / "trial-00003.txt").read_text()
    assert "the toy is broken" in by_trouble["bug"].reason
    assert by_trouble["batch"].status in ("complete", "pruned")  # one worker shares a batch of 7


def test_complete_trials_have_their_whole_curve_and_pruned_ones_a_part(finished: Finished) -> None:
    record, _, _ = finished
    for trial in record.trials:
        samples = [point for point, _ in trial.curve]
        if trial.status == "complete":
            assert samples == [64, 128, 192, 256]
            assert trial.value == trial.curve[-1][1] == trial.metrics["mse"]
        if trial.status == "pruned":
            assert samples == [64, 128, 192, 256][: len(samples)]
            assert 1 <= len(samples) < 4


def test_baselines_are_told_once(finished: Finished) -> None:
    _, watcher, _ = finished
    assert sorted(event.name for event in watcher.of(BaselineEvaluated)) == ["untrained", "zero"]


def test_the_study_says_what_it_is(finished: Finished) -> None:
    _, watcher, _ = finished
    started, *rest = watcher.of(StudyStarted)
    assert not rest
    assert (started.family, started.metric, started.num_lanes) == ("families.toy", "mse", 2)
    assert started.tags["data_fingerprint"] == "waves-1"
    assert watcher.of(StudyEnded)[-1].end == "finished"
    hashes = {event.tags["protocol_hash"] for event in watcher.of(TrialStarted)}
    assert hashes == {started.tags["protocol_hash"]}
    assert {trial.protocol for trial in finished[0].trials if trial.curve} == hashes


def test_each_trial_tells_once_what_its_engine_was_given(finished: Finished) -> None:
    _, watcher, _ = finished
    told = [
        (event.number, document)
        for event in watcher.of(TrialProgress)
        for document in event.documents.items()
    ]
    assert Counter(number for number, _ in told) == Counter(
        {event.number for event in watcher.of(TrialProgress)}
    )
    assert {name for _, (name, _) in told} == {"deepspeed.json"}
    sizes = {json.loads(text)["train_batch_size"] for _, (_, text) in told}
    assert sizes <= {7, 8} and 8 in sizes


def test_only_the_best_trials_keep_their_checkpoints(finished: Finished) -> None:
    record, _, output = finished
    kept = {path.name for path in (output / "runs" / "toys" / "checkpoints").glob("trial-*")}
    best = {f"trial-{trial.number:05d}" for trial in record.ranking()[:3]}
    assert kept == best


def test_a_full_study_is_not_run_again_and_can_be_extended(finished: Finished) -> None:
    _, _, output = finished
    watcher = Watcher()
    assert len(_search(_toys(), output, watcher).trials) == 10
    assert not watcher.of(TrialStarted)
    with local_lanes():
        more = _search(_toys(num_trials=11), output, watcher)
    assert [trial.number for trial in more.trials][-1] == 10
    assert len(watcher.of(TrialStarted)) == 1


def test_a_lane_whose_driver_actor_is_killed_is_replaced_and_its_trial_goes_on(finished: Finished) -> None:
    record, watcher, _ = finished
    (again,) = (notice.text for notice in watcher.of(Notice) if "is tried again" in notice.text)
    number = int(again.split()[1])
    points = [event.samples for event in watcher.of(TrialProgress) if event.number == number]
    assert number in (0, 1)
    assert record.trials[number].status in ("complete", "pruned")
    assert points == [point for point, _ in record.trials[number].curve]
    _wait_until_no_placement_group_is_left()


def _wait_until_no_placement_group_is_left() -> None:
    import ray

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        alive = [group for group in ray.util.placement_group_table().values() if group["state"] != "REMOVED"]
        if not alive:
            return
        time.sleep(1.0)
    raise AssertionError(f"placement groups are left: {alive}")
