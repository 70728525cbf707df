"""What a search refuses before anything is booked, and how it is ended from outside."""

import os
import signal
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import StudyError
from thalweg.events import Event, StudyEnded
from thalweg.search import run
from thalweg.search.director import StudyDirector
from thalweg.search.ledger import Evaluation, Ledger, Proposal
from thalweg.search.prepare import Prepared, prepare
from thalweg.search.run import Options, search
from thalweg.search.space import load_space


def test_a_study_on_data_that_have_changed_does_not_start(tmp_path: Path) -> None:
    prepared = prepare(load_space("spaces.toys"), tmp_path / "data")
    options = Options(name="toys", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, prepared.space)
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    ledger.report(trial.number, Evaluation(samples=16, value=1.0, protocol=prepared.facts["protocol_hash"]))
    ledger.fail(trial.number, "why")
    ledger.close()
    changed = replace(prepared, facts={**prepared.facts, "protocol_hash": "other"})
    with pytest.raises(StudyError, match=r"keeps its evaluation protocol: 'toys' has .*, got other"):
        search(changed, options, [])


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


def test_sigterm_interrupts_the_trials_of_a_search_and_queues_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tune(prepared: Prepared, options: Options, director: StudyDirector, *_: Any) -> None:
        assert isinstance(director.propose(), Proposal)
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
