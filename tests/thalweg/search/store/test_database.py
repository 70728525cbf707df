"""A study in a database that somebody else holds for a while."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kept import evaluated

from thalweg.errors import StudyError
from thalweg.events import Event
from thalweg.search.controller import StudyController
from thalweg.search.space import Space
from thalweg.search.store import database, storage
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import read_study

Make = Callable[..., Space]
Open = Callable[..., Ledger]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits as in life, a hundred times as fast."""
    monkeypatch.setattr(database, "NOTICE_S", 0.05)
    monkeypatch.setattr(database, "_PAUSE_S", 0.01)
    monkeypatch.setattr(database, "_SQLITE_S", 0.05)


@pytest.fixture
def ledger(make_space: Make, open_ledger: Open, tmp_path: Path) -> Ledger:
    return open_ledger(make_space(max_retries=0), storage=f"sqlite:///{tmp_path}/team.db")


@contextmanager
def held(file: Path) -> Iterator[sqlite3.Connection]:
    """Holds a database for oneself, as a backup does."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield connection
    finally:
        connection.close()


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


@pytest.mark.slow
def test_a_search_waits_for_its_database_says_so_and_loses_nothing(ledger: Ledger, tmp_path: Path) -> None:
    said: list[str] = []
    number = ask(ledger).number
    for act in (
        lambda: ledger.report(number, evaluated(samples=100, value=0.5)),
        lambda: ledger.complete(number),
        lambda: ledger.read(),
    ):
        with held(tmp_path / "team.db") as other:

            def let_go(text: str, other: sqlite3.Connection = other) -> None:
                said.append(text)
                if text.startswith("waiting"):  # nobody lets go before people were told
                    other.execute("COMMIT")

            ledger.tell_waits(let_go)
            act()
    assert [text.partition(" ")[0] for text in said] == ["waiting", f"sqlite:///{tmp_path}/team.db"] * 3
    assert "team.db: database is locked" in said[0]
    assert said[1].endswith("nothing was lost")
    (trial,) = ledger.trials()
    assert (trial.status, trial.curve) == ("complete", ((100, 0.5),))


@pytest.mark.slow
def test_opening_and_reading_wait_too(
    make_space: Make, open_ledger: Open, tmp_path: Path, ledger: Ledger, logged: list[str]
) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    ledger.close()
    for act in (
        lambda: open_ledger(make_space(max_retries=0), storage=url),
        lambda: read_study(tmp_path / "study", "s", url),
    ):
        with held(tmp_path / "team.db") as other:
            timer = threading.Timer(0.5, lambda other=other: other.execute("COMMIT"))
            timer.start()
            act()
            timer.join()
    assert sum("waiting for" in text for text in logged) == 2


@pytest.mark.slow
def test_a_database_that_is_held_for_good_ends_the_search_and_blames_no_trial(
    ledger: Ledger, make_space: Make, open_ledger: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_WAIT_S", 0.3)
    events: list[Event] = []
    controller = StudyController(ledger, events.append, num_lanes=1)
    proposal = controller.propose()
    assert isinstance(proposal, Proposal)
    with held(tmp_path / "team.db"):
        assert controller.observe(proposal.number, evaluated(samples=100, value=0.5))
        monkeypatch.setattr(database, "MAX_WAIT_S", 1e9)
        controller.close()  # does not wait a second time
        ledger.close()
    assert isinstance(controller.failure, StudyError)
    assert "got 'database is locked' of sqlite:///" in str(controller.failure)
    assert "run the same command again" in str(controller.failure)
    monkeypatch.setattr(storage, "_began", lambda pid: "the next process begins later")
    ledger = open_ledger(make_space(max_retries=0), storage=f"sqlite:///{tmp_path}/team.db")
    assert [trial.interrupted for trial in ledger.trials()] == [True, False]
    assert ask(ledger).params == proposal.params


def test_what_does_not_pass_is_not_waited_for(ledger: Ledger, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "team.db") as other:
        other.execute("DROP TABLE trial_user_attributes")
    with pytest.raises(StudyError, match="must take what is written, got 'no such table"):
        ledger.ask()
