"""What a search refuses before anything is booked, how it is ended from outside, and what it deletes."""

import errno
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from kept import evaluated, keep

from thalweg.errors import StudyError
from thalweg.events import Event, Notice, StudyEnded, StudyStarted, TrialEnded, TrialKept, TrialProgress
from thalweg.hashing import digest
from thalweg.lanes.interruption import signal_of
from thalweg.search import run
from thalweg.search.controller import StudyController
from thalweg.search.overrides import overridden
from thalweg.search.preflight import Prepared, prepare
from thalweg.search.publishing.broadcast import Broadcast, kept
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import CHECKPOINT
from thalweg.tracking.recorder import MLflowRecorder


def test_a_study_on_data_that_have_changed_does_not_start(tmp_path: Path) -> None:
    prepared = prepare(load_space("spaces.toys"), tmp_path / "data")
    options = Options(name="toys", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, prepared.space)
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    ledger.report(trial.number, evaluated(samples=16, value=1.0, protocol=prepared.tags["protocol_hash"]))
    ledger.fail(trial.number, "why", "infeasible")
    ledger.close()
    changed = replace(prepared, tags={**prepared.tags, "protocol_hash": "other"})
    with pytest.raises(StudyError, match=r"keeps its evaluation protocol: 'toys' has .*, got other"):
        search(changed, options, [])


def test_options_of_a_search_are_told_to_all_listeners(tmp_path: Path) -> None:
    for samples, told in ((80, "--samples 80"), (None, None)):
        prepared = prepare(overridden(load_space("spaces.toys"), samples=samples), tmp_path / "data")
        options = Options(name=f"toys-{samples}", output=tmp_path)
        ledger = Ledger.open(options.directory, options.name, prepared.space)
        started = run._started(prepared, options, ledger, 1)
        ledger.close()
        assert started.tags.get("options") == told
        assert started.tags["data_set"] == "waves"
        assert (started.samples, started.definition["samples"]) == ((samples or 256),) * 2


@dataclass
class Ear:
    """Keeps how a study ended."""

    ended: list[StudyEnded] = field(default_factory=list)
    closed: bool = False

    def handle(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, StudyEnded):
            self.ended.append(event)

    def close(self) -> None:
        """Hears that nothing comes any more, while further signals arrive."""
        os.kill(os.getpid(), signal.SIGTERM)
        self.closed = True


class Quiet(Ear):
    """Keeps how a study ended, and is sent no signal."""

    def close(self) -> None:
        """Hears that nothing comes any more."""
        self.closed = True


def test_a_search_records_what_its_protocol_consists_of(tmp_path: Path) -> None:
    prepared = prepare(
        load_space("spaces.toys").with_settings(num_trials=1, first_trials=()), tmp_path / "data"
    )
    options = Options(name="measured", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, prepared.space)
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    ledger.fail(trial.number, "why", "infeasible")
    ledger.close()
    record = search(prepared, options, [Quiet()])  # has nothing to train
    assert record.protocol["data"] == prepared.tags["data_fingerprint"] == "waves-1"
    assert digest(record.protocol) == prepared.tags["protocol_hash"]


@pytest.mark.slow
def test_the_end_of_a_study_tells_how_well_its_rungs_rank_trials(tmp_path: Path) -> None:
    space = load_space("spaces.toys").with_settings(num_trials=4, first_trials=())
    prepared, events = prepare(space, tmp_path / "data"), Quiet()
    options = Options(name="ranked", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, prepared.space)
    for early, end in ((0.5, 0.1), (0.4, 0.2), (0.3, 0.3), (0.9, None)):
        trial = ledger.ask()
        assert isinstance(trial, Proposal)
        ledger.report(trial.number, evaluated(samples=64, value=early))
        if end is None:
            ledger.prune(trial.number)
        else:
            ledger.report(trial.number, evaluated(samples=256, value=end, final=True))
            ledger.complete(trial.number)
    ledger.close()
    search(prepared, options, [events])
    [told] = events.ended
    assert told.rung_correlations == pytest.approx({"64": -1.0})


def test_sigterm_interrupts_the_trials_of_a_search_and_queues_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tune(prepared: Prepared, options: Options, controller: StudyController, *_: Any) -> None:
        assert isinstance(controller.propose(), Proposal)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was not raised")

    monkeypatch.setattr(run, "connect", lambda *_, **__: nullcontext("here"))
    monkeypatch.setattr(run, "book", lambda *_: 1)
    monkeypatch.setattr(run, "_tune", tune)
    prepared, ear = prepare(load_space("spaces.toys"), tmp_path / "data"), Ear()
    options = Options(name="toys", output=tmp_path)
    record = search(prepared, options, [ear])
    assert [(end.end, end.reason, end.signal) for end in ear.ended] == [
        ("interrupted", "stopped by SIGTERM", 15)
    ]
    assert ear.closed
    first = record.trials[0]
    assert (first.status, first.interrupted) == ("failed", True)
    queued = [trial for trial in record.trials if trial.continues == first.number]
    assert [(trial.status, trial.params) for trial in queued] == [("waiting", first.params)]


def test_a_search_judges_trials_by_their_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the budget of these trials teaches nothing, and both rungs lie before its end; people are told so."""
    space = load_space("spaces.toys").with_settings(scheduler="successive_halving", num_evaluations=8)
    aligned = replace(
        space, function=lambda trial: space.function(trial).model_copy(update={"stages": "joint"})
    )
    assert space.study.rungs[0] < 128
    judged, notes = [], Notes()

    def tune(prepared: Prepared, options: Options, controller: StudyController, *_: Any) -> None:
        proposal = controller.propose()
        assert isinstance(proposal, Proposal)
        judged.append(controller._ledger._live[proposal.number].trial.user_attrs["judged_from"])

    monkeypatch.setattr(run, "connect", lambda *_, **__: nullcontext("here"))
    monkeypatch.setattr(run, "book", lambda *_: 1)
    monkeypatch.setattr(run, "_tune", tune)
    search(prepare(aligned, tmp_path / "data"), Options(name="toys", output=tmp_path), [notes])
    first, last = space.study.rungs[0], space.study.rungs[-1]
    assert judged == [128 + 128 * first / 256]
    assert [event.text for event in notes.events if isinstance(event, Notice) and "early" in event.text] == [
        f"no trial is stopped early: its stages train what mse needs from {judged[0]} samples on, and the last rung "
        f"lies at {last}"
    ]


class Notes:
    """Writes down what happens."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Has nothing to deliver."""
        self.closed = True


def ended_untold(tmp_path: Path) -> tuple[Prepared, Options]:
    """A study whose driver died after it had written the end of both trials, and before it told anybody."""
    space = load_space("spaces.toys").with_settings(num_trials=2)
    prepared = prepare(space, tmp_path / "data")
    options = Options(name="toys", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, space)
    protocol = prepared.tags["protocol_hash"]
    for end in (ledger.complete, ledger.prune):
        trial = ledger.ask()
        assert isinstance(trial, Proposal)
        for samples in space.study.evaluations[:2]:
            value = 0.5 + trial.number + samples / 1024
            ledger.report(
                trial.number,
                evaluated(samples=samples, value=value, metrics={"extra": value}, protocol=protocol),
            )
        end(trial.number)
    ledger.close()
    return prepared, options


def test_a_continued_study_tells_what_its_storage_holds_when_it_begins_and_when_it_ends(
    tmp_path: Path,
) -> None:
    prepared, options = ended_untold(tmp_path)
    notes = Notes()
    record = search(prepared, options, [notes])
    kinds = [type(event) for event in notes.events if not isinstance(event, TrialProgress)]
    assert kinds == [StudyStarted, TrialKept, TrialKept, TrialKept, TrialKept, StudyEnded]
    told = [event for event in notes.events if isinstance(event, TrialKept)][:2]
    assert [event.ended.status for event in told] == ["complete", "pruned"]
    assert [event.curve for event in told] == [trial.curve for trial in record.trials[:2]]
    assert [event.began.params for event in told] == [trial.params for trial in record.trials[:2]]
    assert all(event.began_ms <= event.ended_ms for event in told)


def test_what_is_told_of_a_checkpoint_holds_wherever_the_study_lies(tmp_path: Path) -> None:
    best = _complete(tmp_path / "toys", 0.5)
    ledger = Ledger.open(tmp_path / "toys", "toys", load_space("spaces.toys"))
    told = kept(ledger.trials()[0], ledger.space.config_type)
    ledger.close()
    assert told.ended.checkpoint == str(best.relative_to(tmp_path / "toys"))


@dataclass
class Impatient:
    """Is told to end while it closes, by a signal; without one, its terminal is gone."""

    number: signal.Signals | None

    def handle(self, event: Event) -> None:
        """Takes one event."""

    def close(self) -> None:
        """Waits for something until the signal comes."""
        if self.number is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.kill(os.getpid(), self.number)
        time.sleep(60)


def test_a_signal_in_the_end_leaves_no_listener_open(tmp_path: Path) -> None:
    prepared, options = ended_untold(tmp_path)
    last = Notes()
    record = search(prepared, options, [Impatient(signal.SIGINT), last])
    assert last.closed
    assert record.best() is not None
    last = Notes()
    with pytest.raises(KeyboardInterrupt) as caught:
        search(prepared, options, [Impatient(signal.SIGTERM), last])
    assert last.closed
    assert signal_of(caught.value) == signal.SIGTERM
    last = Notes()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        search(prepared, options, [Impatient(None), last])
    assert last.closed


@pytest.mark.slow
@pytest.mark.integration
def test_mlflow_is_filled_from_the_storage_however_often_its_database_is_deleted(tmp_path: Path) -> None:
    prepared, options = ended_untold(tmp_path)
    database = tmp_path / "tracking.db"
    for _ in range(2):
        record = search(prepared, options, [MLflowRecorder(f"sqlite:///{database}")])
        with closing(sqlite3.connect(database)) as held:
            statuses = dict(held.execute("SELECT name, status FROM runs"))
            curve = "SELECT name, step, value FROM metrics JOIN runs USING (run_uuid) WHERE key = 'objective'"
            points = sorted(held.execute(curve).fetchall())
            params = held.execute(
                "SELECT count(*) FROM params JOIN runs USING (run_uuid) WHERE name = 'trial 001'"
            )
            num_params = params.fetchone()[0]
        assert statuses.keys() == {"study toys", "trial 000", "trial 001"}
        assert statuses["study toys"] == statuses["trial 000"] == "FINISHED"
        assert points == [(f"trial 00{t.number}", *point) for t in record.trials[:2] for point in t.curve]
        assert num_params > len(record.trials[1].params) > 0
        database.unlink()


def test_a_study_tells_its_end_where_the_storage_cannot_be_read_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open(tmp_path / "toys", "toys", load_space("spaces.toys"))

    def read() -> None:
        raise StudyError("the database of a study must take what is written")

    monkeypatch.setattr(ledger, "read", read)
    notes = Notes()
    Broadcast(ledger, [notes], tmp_path / "toys")(StudyEnded(end="failed"))
    ledger.close()
    assert notes.events == [StudyEnded(end="failed")]


def test_a_full_study_says_what_its_journal_has_lost(tmp_path: Path) -> None:
    prepared, options = ended_untold(tmp_path)
    journal = options.directory / "journal.log"
    lines = journal.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if '"metrics"' in line)
    lines[number] = lines[number][:-9]
    journal.write_text("".join(f"{line}\n" for line in lines))
    notes = Notes()
    search(prepared, options, [notes])
    told = [event.text for event in notes.events if isinstance(event, Notice)]
    assert len(told) == 1
    assert "is skipped: a note on trial 0 is lost" in told[0]


def _complete(directory: Path, value: float, *, earlier_version: bool = False) -> Path:
    """Adds a complete trial with a checkpoint to the study that lies in a folder, as a search does."""
    ledger = Ledger.open(directory, "toys", load_space("spaces.toys").with_settings(keep_checkpoints=1))
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    place = keep(directory, trial.number, 256, trial.config.model_dump(mode="json"), study=ledger.identity)
    ledger.report(trial.number, evaluated(samples=256, value=value, checkpoint=place, final=True))
    if earlier_version:  # which recorded where the checkpoint lay on the machine
        storage, number = ledger._study._storage, ledger._queue.frozen(trial.number)._trial_id
        storage.set_trial_user_attr(number, CHECKPOINT, place)
    ledger.complete(trial.number)
    ended = TrialEnded(number=trial.number, status="complete", value=value, samples=256, seconds=1.0)
    Broadcast(ledger, [], directory)(ended)
    ledger.close()
    return Path(place)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_the_original_of_a_copied_study_is_left_alone(tmp_path: Path, earlier_version: bool) -> None:
    best = _complete(tmp_path / "toys", 0.5, earlier_version=earlier_version)
    shutil.copytree(tmp_path / "toys", tmp_path / "copy")
    better = _complete(tmp_path / "copy", 0.25)
    assert best.is_dir()
    assert list((tmp_path / "copy").glob("checkpoints/*/samples-*")) == [better]


def test_nothing_is_deleted_through_a_link_out_of_the_study(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "checkpoints").symlink_to(tmp_path / "scratch")
    _complete(tmp_path / "toys", 0.5)
    _complete(tmp_path / "toys", 0.25)
    assert len(list((tmp_path / "scratch").glob("*/samples-*"))) == 2


def test_a_folder_that_nobody_reported_goes_with_its_trial(tmp_path: Path) -> None:
    unheard = tmp_path / "toys" / "checkpoints" / "trial-00000" / ".samples-000000000064.partial"
    unheard.mkdir(parents=True)
    ledger = Ledger.open(tmp_path / "toys", "toys", load_space("spaces.toys"))
    ledger.ask()
    ledger.fail(0, "the disk was full", "infeasible")
    Broadcast(ledger, [], tmp_path / "toys")(
        TrialEnded(number=0, status="failed", value=None, samples=0, seconds=1.0)
    )
    ledger.close()
    assert not unheard.parent.exists()
