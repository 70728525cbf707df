"""How trials end, and what listeners hear, without Ray."""

import errno
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kept import evaluated, keep

from thalweg.errors import OutputError, SpaceError, StudyError
from thalweg.events import Event, Notice, TrialEnded, TrialProgress, TrialStarted
from thalweg.search.controller import StudyController
from thalweg.search.space import Space, load_space
from thalweg.search.store.optuna_study import Ledger, extend
from thalweg.search.store.proposals import Proposal
from thalweg.training.messages import Refusal

Make = Callable[..., Space]
Open = Callable[..., Ledger]


class Stage:
    """A ledger, a controller and what it published."""

    def __init__(self, ledger: Ledger, num_lanes: int = 2, **options: Any) -> None:
        self.ledger = ledger
        self.events: list[Event] = []
        self.controller = StudyController(ledger, self.events.append, num_lanes=num_lanes, **options)

    def begin(self) -> int:
        proposal = self.controller.propose()
        assert isinstance(proposal, Proposal)
        return proposal.number

    def report(self, number: int, samples: int, loss: float = 0.5, **more: Any) -> bool:
        report = evaluated(samples=samples, value=loss, metrics={"loss": loss}, **more)
        return self.controller.observe(number, report)

    def finish(self, number: int, loss: float = 0.5) -> bool:
        return self.report(number, 800, loss, final=True)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self) -> list[str]:
        return [trial.status for trial in self.ledger.trials()]


@pytest.fixture
def stage(make_space: Make, open_ledger: Open) -> Stage:
    return Stage(open_ledger(make_space(num_trials=4, scheduler="successive_halving")))


def test_a_trial_that_finishes_is_complete_everywhere(stage: Stage) -> None:
    number = stage.begin()
    assert not stage.report(number, 200)
    assert stage.finish(number, 0.25)
    assert stage.statuses() == ["complete"]
    (ended,) = stage.of(TrialEnded)
    assert (ended.status, ended.value, ended.samples, ended.reason) == ("complete", 0.25, 800, "")
    assert ended.ended_as == stage.ledger.trials()[0].ended_as == "complete"
    assert ended.seconds > 0
    assert stage.controller.running == ()


def test_the_last_evaluation_completes_even_the_worst_trial(stage: Stage) -> None:
    good, bad = stage.begin(), stage.begin()
    stage.finish(good, 0.1)
    assert stage.finish(bad, 9.9)
    assert stage.statuses() == ["complete", "complete"]


def test_a_trial_that_the_scheduler_stops_is_pruned_everywhere(stage: Stage) -> None:
    good, bad = stage.begin(), stage.begin()
    assert not stage.report(good, 100, 0.1)
    assert stage.report(bad, 100, 0.9, checkpoint="/kept/1")
    assert stage.statuses() == ["running", "pruned"]
    (ended,) = stage.of(TrialEnded)
    assert (ended.status, ended.number, ended.value, ended.checkpoint) == ("pruned", bad, 0.9, "/kept/1")
    assert [trial.ended_as for trial in stage.ledger.trials()] == [None, ended.ended_as] == [None, "pruned"]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_value_that_is_not_finite_fails_the_trial_at_once(stage: Stage, loss: float) -> None:
    number = stage.begin()
    assert stage.report(number, 100, loss)
    (trial,) = stage.ledger.trials()
    assert trial.status == "failed"
    assert trial.reason.startswith("loss must be finite")
    (ended,) = stage.of(TrialEnded)
    assert (ended.reason, ended.ended_as) == (trial.reason, trial.ended_as) == (trial.reason, "diverged")
    assert stage.of(TrialProgress) == []


def test_a_trial_that_says_why_it_failed_is_quoted(stage: Stage) -> None:
    number = stage.begin()
    refusal = Refusal(kind="trial", samples=100, reason="no room", ended_as="out_of_memory")
    assert stage.controller.observe(number, refusal)
    (trial,) = stage.ledger.trials()
    assert (trial.reason, trial.ended_as) == ("no room", "out_of_memory")
    assert stage.of(TrialEnded)[0].ended_as == "out_of_memory"


def test_another_protocol_fails_the_trial_and_not_the_study(stage: Stage) -> None:
    first, second = stage.begin(), stage.begin()
    assert not stage.report(first, 200, protocol="aaa")
    assert stage.report(second, 200, protocol="bbb")
    assert stage.statuses() == ["running", "failed"]
    assert stage.ledger.trials()[1].ended_as == "infeasible"
    assert stage.controller.failure is None


def test_a_trial_that_stops_before_its_end_has_failed(stage: Stage) -> None:
    number = stage.begin()
    stage.report(number, 200)
    stage.controller.conclude(number, evaluated(samples=200, value=0.5))
    (trial,) = stage.ledger.trials()
    assert trial.reason == "the trial stopped before the end of its budget"
    assert trial.ended_as == "infrastructure"


def test_a_last_report_that_only_the_end_brings_is_heard(stage: Stage) -> None:
    number = stage.begin()
    stage.report(number, 700)
    stage.controller.conclude(number, evaluated(samples=800, value=0.125, final=True))
    assert stage.ledger.trials()[0].value == 0.125
    assert stage.statuses() == ["complete"]


@pytest.mark.parametrize("kind", ["trial", "group"])
def test_a_refusal_that_only_the_end_brings_is_heard(stage: Stage, kind: Any) -> None:
    number = stage.begin()
    stage.report(number, 200)
    refusal = Refusal(kind=kind, samples=200, reason="no room", ended_as="out_of_memory")
    stage.controller.conclude(number, refusal)
    (ended,) = stage.of(TrialEnded)
    assert (ended.status, ended.value, ended.samples, ended.reason) == ("failed", None, 200, "no room")
    assert ended.ended_as == "out_of_memory"
    assert stage.ledger.trials()[0].curve == ((200, 0.5),)
    assert stage.controller.failure is None


def test_a_trial_ends_once(stage: Stage) -> None:
    number = stage.begin()
    stage.finish(number)
    assert stage.report(number, 100)
    stage.controller.conclude(number, Refusal(kind="trial", samples=900, reason="late", ended_as="data"))
    stage.controller.fail(number, "late", "infrastructure")
    stage.controller.close()
    assert stage.statuses() == ["complete"]
    assert len(stage.of(TrialEnded)) == 1


def test_no_trial_begins_while_every_lane_is_busy(stage: Stage) -> None:
    number = stage.begin()
    stage.begin()
    assert stage.controller.propose() == "wait"
    stage.finish(number)
    assert isinstance(stage.controller.propose(), Proposal)


def test_a_study_is_finished_when_its_trials_have_begun(stage: Stage) -> None:
    for _ in range(3):
        stage.finish(stage.begin())
    stage.begin()
    assert stage.controller.propose() == "finished"
    assert stage.controller.running == (3,)


def test_progress_carries_metrics_curves_and_timings(stage: Stage) -> None:
    number = stage.begin()
    stage.report(number, 100, curve=((50, {"lr": 0.1}),), timings={"train": 2.0}, costs={"epoch_s": 7.0})
    (progress,) = stage.of(TrialProgress)
    assert (progress.samples, progress.value) == (100, 0.5)
    assert progress.metrics == {"loss": 0.5, "cost/epoch_s": 7.0}
    assert progress.curves == ((50, {"lr": 0.1}),)
    assert progress.timings == {"train": 2.0}


def test_a_beginning_trial_is_described(make_space: Make, open_ledger: Open) -> None:
    stage = Stage(
        open_ledger(make_space()), describe=lambda p: ({"lane": "1"}, {"note.txt": f"trial {p.number}"})
    )
    stage.begin()
    (started,) = stage.of(TrialStarted)
    assert started.tags == {"seed": "0", "lane": "1"}
    assert started.documents == {"note.txt": "trial 0"}
    assert started.config["optimization.batch_size"] == 16
    assert started.params["x"] == started.config["x"]


def test_a_retry_from_a_checkpoint_repeats_no_progress(stage: Stage) -> None:
    number = stage.begin()
    stage.report(number, 100)
    stage.report(number, 200)
    stage.controller.retry(number, "its lane died")
    assert not stage.report(number, 200)
    assert not stage.report(number, 400)
    assert [event.samples for event in stage.of(TrialProgress)] == [100, 200, 400]
    assert stage.of(Notice) == [Notice(text=f"trial {number} is tried again: its lane died")]


def test_what_runs_when_the_search_stops_is_interrupted_and_continued(
    make_space: Make, open_ledger: Open
) -> None:
    space = make_space(num_trials=4)
    stage = Stage(open_ledger(space))
    number = stage.begin()
    config = stage.ledger.trials()[0].config
    places = [keep(stage.ledger.directory, 0, samples, config) for samples in (100, 200)]
    stage.report(number, 100, checkpoint=places[0])
    stage.controller.stop()
    assert stage.report(number, 200, 0.4, checkpoint=places[1])
    stage.controller.conclude(number, evaluated(samples=200, value=0.4))
    assert stage.controller.propose() == "finished"
    stage.controller.close()
    assert stage.statuses() == ["failed", "waiting"]
    (ended,) = stage.of(TrialEnded)
    assert (ended.status, ended.reason) == ("failed", "interrupted: the search was stopped")
    assert ended.ended_as == stage.ledger.trials()[0].ended_as == "stopped_by_user"
    assert ended.seconds > 0
    stage.ledger.close()

    again = Stage(open_ledger(space))
    assert again.begin() == 1
    assert again.of(TrialStarted)[0].tags["continues"] == "0"
    assert [(event.samples, event.value) for event in again.of(TrialProgress)] == [(100, 0.5), (200, 0.4)]


@pytest.mark.parametrize(
    ("number", "word"),
    [(0, "infrastructure"), (signal.SIGTERM, "preempted"), (signal.SIGHUP, "stopped_by_user")],
)
def test_a_signal_says_why_the_running_trials_ended(stage: Stage, number: int, word: str) -> None:
    stage.begin()
    stage.controller.close(signal=number)
    assert stage.of(TrialEnded)[0].ended_as == stage.ledger.trials()[0].ended_as == word


def test_a_trial_that_ends_while_the_search_stops_keeps_its_end(stage: Stage) -> None:
    number = stage.begin()
    stage.controller.stop()
    assert stage.finish(number)
    stage.controller.close()
    assert stage.statuses() == ["complete"]


def test_a_storage_that_fails_ends_the_search_without_an_exception(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stage.begin(), stage.begin()
    trouble = OSError("no space left on device")

    def fail(*_: object) -> bool:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(stage.ledger, "report", fail)
        assert stage.report(first, 100)
    assert stage.controller.failure is trouble
    assert stage.report(second, 100)
    assert stage.controller.propose() == "finished"
    stage.controller.close()
    assert stage.statuses().count("running") == 0


def test_an_ask_that_fails_ends_the_search_without_an_exception(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = OSError("the database is gone")

    def fail() -> None:
        raise trouble

    monkeypatch.setattr(stage.ledger, "ask", fail)
    assert stage.controller.propose() == "finished"
    assert stage.controller.failure is trouble


def test_a_listener_that_raises_does_not_harm_the_search(
    make_space: Make, open_ledger: Open, logged: list[str]
) -> None:
    def listen(event: Event) -> None:
        raise ConnectionError("MLflow is away")

    ledger = open_ledger(make_space())
    controller = StudyController(ledger, listen, num_lanes=1)
    proposal = controller.propose()
    assert isinstance(proposal, Proposal)
    controller.observe(proposal.number, evaluated(samples=800, value=0.5, final=True))
    assert ledger.trials()[0].status == "complete"
    assert controller.failure is None
    assert "a listener failed on TrialStarted" in logged


def write_moody_space(lab: Callable[[str, str], Path], folder: Path, condition: str) -> Space:
    text = (folder / "code/lab/toy.py").read_text()
    lab("moody", text.replace("    return Toy(", f"    assert {condition}, 'no'\n    return Toy("))
    return load_space("lab.moody")


def test_a_space_that_refuses_its_first_trial_ends_the_search(
    lab: Callable[[str, str], Path], open_ledger: Open, tmp_path: Path
) -> None:
    stage = Stage(open_ledger(write_moody_space(lab, tmp_path, "False")))
    assert stage.controller.propose() == "finished"
    assert isinstance(stage.controller.failure, SpaceError)
    assert stage.statuses() == ["failed"]
    assert stage.of(TrialEnded)[0].ended_as == stage.ledger.trials()[0].ended_as == "infeasible"


def test_a_space_that_refuses_some_trials_loses_only_those(
    lab: Callable[[str, str], Path], open_ledger: Open, tmp_path: Path
) -> None:
    space = write_moody_space(lab, tmp_path, "kind == 'plain'")
    kinds = ("plain", "bent", "bent", "plain")
    first = tuple({"kind": kind, "x": index / 8} for index, kind in enumerate(kinds))
    study = space.study.model_copy(update={"first_trials": first, "num_trials": 4})
    stage = Stage(open_ledger(type(space)(**{**vars(space), "study": study})), num_lanes=4)
    assert [stage.begin(), stage.begin()] == [0, 3]
    assert stage.statuses() == ["running", "failed", "failed", "running"]
    assert [event.number for event in stage.of(TrialEnded)] == [1, 2]
    assert stage.controller.failure is None


def test_a_space_that_refuses_three_trials_in_a_row_ends_the_search(
    lab: Callable[[str, str], Path], open_ledger: Open, tmp_path: Path
) -> None:
    space = write_moody_space(lab, tmp_path, "kind == 'plain'")
    kinds = ("plain", "bent", "bent", "bent", "plain")
    first = tuple({"kind": kind, "x": index / 8} for index, kind in enumerate(kinds))
    study = space.study.model_copy(update={"first_trials": first})
    stage = Stage(open_ledger(type(space)(**{**vars(space), "study": study})), num_lanes=4)
    stage.begin()
    assert stage.controller.propose() == "finished"
    assert isinstance(stage.controller.failure, SpaceError)
    stage.controller.close()
    assert stage.statuses() == ["failed"] * 4 + ["waiting"] * 2


def test_provenance_is_told_as_text_and_documents_once(stage: Stage) -> None:
    number = stage.begin()
    said: dict[str, Any] = {
        "provenance": {"world_size": 2, "host": "a"},
        "documents": {"deepspeed.json": "{}"},
    }
    stage.report(number, 100, **said)
    stage.report(number, 100, **said)  # again after a retry
    stage.report(number, 200, **said)
    first, second = stage.of(TrialProgress)
    assert first.provenance == second.provenance == {"world_size": "2", "host": "a"}
    assert (first.documents, second.documents) == ({"deepspeed.json": "{}"}, {})


def test_what_stops_the_study_is_no_trials_fault(stage: Stage) -> None:
    first, second = stage.begin(), stage.begin()
    stage.report(first, 100)
    reason = "checkpoints must be writable, got No space left on device; free space and give the same command again"
    refusal = Refusal(kind="study", samples=100, reason=reason, ended_as="infrastructure")
    stage.controller.conclude(first, refusal)
    assert stage.report(second, 100)
    stage.controller.fail(second, "its lane died of the same", "infrastructure")
    stage.controller.close()
    assert isinstance(stage.controller.failure, StudyError)
    assert str(stage.controller.failure) == f"{reason}; the study goes on where it stood"
    assert [(event.number, event.interrupted) for event in stage.of(TrialEnded)] == [(0, True), (1, True)]
    assert {event.ended_as for event in stage.of(TrialEnded)} == {"infrastructure"}
    assert stage.statuses() == ["failed", "failed", "waiting", "waiting"]


def test_an_error_of_tune_on_a_full_disk_is_said_in_one_line(stage: Stage) -> None:
    stage.begin()
    stage.controller.halt(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/tune/state.json"))
    stage.controller.close()
    assert isinstance(stage.controller.failure, OutputError)
    assert "/runs/tune/state.json" in str(stage.controller.failure)
    assert "run the same command again" in str(stage.controller.failure)


def test_trials_without_news_are_named_with_the_time_since_their_last_evaluation(
    make_space: Make, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("thalweg.search.controller.time.monotonic", lambda: clock[0])
    stage = Stage(open_ledger(make_space()))
    first, second = stage.begin(), stage.begin()
    clock[0] += 300.0
    stage.report(second, 100)
    clock[0] += 45.0
    assert stage.controller.silent() == {first: 345.0}
    assert stage.controller.silent(at_least_s=40.0) == {first: 345.0, second: 45.0}
    stage.finish(first)
    assert stage.controller.silent() == {}


def test_workers_that_were_replaced_are_told(make_space: Make, open_ledger: Open) -> None:
    stage = Stage(open_ledger(make_space()))
    number = stage.begin()
    stage.report(number, 100, deaths=("it was no more",))
    assert [notice.text for notice in stage.of(Notice)] == [
        f"trial {number} went on in new workers: it was no more"
    ]


def test_trials_that_have_ended_may_ask_for_more_on_the_same_lanes(
    make_space: Make, open_ledger: Open
) -> None:
    ledger, asked = open_ledger(make_space(num_trials=2)), [0]

    def grow() -> bool:
        asked[0] += 1
        if asked[0] > 1:
            return False
        extend(ledger, [{"x": 0.5, "width": 3, "kind": "plain"}])
        return True

    stage = Stage(ledger, num_lanes=2, extend=grow)
    first, second = stage.begin(), stage.begin()
    stage.finish(first)
    assert stage.controller.propose() == "wait" and not asked[0]  # the other one decides with it
    stage.finish(second)
    third = stage.begin()
    assert ledger.trials()[third].params == {"x": 0.5, "width": 3, "kind": "plain"}
    assert ledger.read().definition["study"]["num_trials"] == 3
    stage.finish(third)
    assert stage.controller.propose() == "finished"
