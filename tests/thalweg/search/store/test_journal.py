"""The journal of a study survives a full disk, what kills its writers, and lines that cannot be read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from kept import evaluated

from thalweg.errors import OutputError, StudyError
from thalweg.events import Event, TrialEnded
from thalweg.search.controller import StudyController
from thalweg.search.space import Space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import read_study

JOURNAL = "journal.log"

Make = Callable[..., Space]
Open = Callable[..., Ledger]
Room = Callable[[int], AbstractContextManager[None]]
CREATES, ENDS, EVALUATES = b'{"op_code":4,', b'{"op_code":6,', b'{"op_code":7,'


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


def evaluate(ledger: Ledger, number: int, *points: int) -> None:
    for samples in points:
        ledger.report(number, evaluated(samples=samples, value=1 / samples))


def size_of(folder: Path) -> int:
    return (folder / JOURNAL).stat().st_size


@pytest.fixture
def folder(tmp_path: Path, make_space: Make, open_ledger: Open) -> Path:
    """A study of two trials that have ended."""
    ledger = open_ledger(make_space())
    for _ in range(2):
        evaluate(ledger, number := ask(ledger).number, 100, 200, 800)
        ledger.complete(number)
    ledger.close()
    return tmp_path / "study"


@pytest.mark.parametrize("left", [0, 1, 30, 80])
def test_a_study_goes_on_where_space_was_freed(
    make_space: Make, open_ledger: Open, tmp_path: Path, room: Room, left: int
) -> None:
    ledger = open_ledger(make_space())
    number = ask(ledger).number
    evaluate(ledger, number, 100)
    with room(size_of(tmp_path / "study") + left), pytest.raises(OutputError, match=r"run the same command"):
        evaluate(ledger, number, 200)
    evaluate(ledger, number, 300)
    ledger.complete(number)
    ledger.close()
    (trial,) = open_ledger(make_space()).trials()
    assert trial.status == "complete"
    assert [samples for samples, _ in trial.curve] == [100, 300]


def test_a_full_disk_interrupts_the_trials_and_blames_none(
    make_space: Make, open_ledger: Open, tmp_path: Path, room: Room
) -> None:
    events: list[Event] = []
    space = make_space(max_retries=0)  # a trial that took its process down would be given up
    ledger = open_ledger(space)
    controller = StudyController(ledger, events.append, num_lanes=2)
    numbers = [proposal.number for _ in range(2) if isinstance(proposal := controller.propose(), Proposal)]
    controller.observe(numbers[0], evaluated(samples=100, value=0.5))
    with room(size_of(tmp_path / "study") + 40):
        assert controller.observe(numbers[1], evaluated(samples=100, value=0.5))
        controller.close()
        ledger.close()
    assert "journal of a study must be writable" in str(controller.failure)
    ended = [event for event in events if isinstance(event, TrialEnded)]
    assert [event.number for event in ended if event.interrupted] == numbers
    ledger = open_ledger(space)
    assert [trial.interrupted for trial in ledger.trials()] == [True, True, False, False]
    assert [ask(ledger).continues, ask(ledger).continues] == numbers


def test_the_half_of_a_failed_write_to_which_the_next_was_glued_is_passed_over(
    folder: Path, make_space: Make, open_ledger: Open, logged: list[str]
) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(CREATES))
    before = read_study(folder, "s")
    lines[at] = lines[at][:50] + lines[at]  # an earlier version left this
    (folder / JOURNAL).write_bytes(b"".join(lines))
    assert read_study(folder, "s") == before
    assert logged == []  # nothing that had been recorded is lost
    assert [trial.status for trial in open_ledger(make_space()).trials()] == ["complete", "complete"]


@pytest.mark.parametrize(("kind", "lost"), [(EVALUATES, "an evaluation"), (ENDS, "the beginning or the end")])
def test_a_damaged_line_is_skipped_and_its_loss_named(
    folder: Path,
    make_space: Make,
    open_ledger: Open,
    logged: list[str],
    kind: bytes,
    lost: str,
) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(kind))
    lines[at] = lines[at][:-6] + b"#####\n"
    (folder / JOURNAL).write_bytes(b"".join(lines))
    said = rf"line {at + 1} of {folder / JOURNAL} cannot be read and is skipped: {lost} of trial 0 is lost"
    assert read_study(folder, "s").trials[1].status == "complete"
    assert logged == [said]
    ledger = open_ledger(make_space())
    assert ledger.notes == (said,)
    other = ledger.trials()[1]
    assert (other.status, len(other.curve)) == ("complete", 3)
    assert ask(ledger).number >= 2


@pytest.mark.parametrize("damage", ["creates", "zeros", "two"])
def test_a_line_without_which_trials_would_be_confused_is_refused_with_a_way_out(
    folder: Path, make_space: Make, open_ledger: Open, damage: str
) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    kind = CREATES if damage == "creates" else EVALUATES
    at = [number for number, line in enumerate(lines) if line.startswith(kind)][-1]
    lines[at] = {
        "creates": lines[at][:-6] + b"#####\n",
        "zeros": lines[at][:60] + bytes(512) + b"\n",  # a block, with who knows how many lines
        "two": lines[at][:-1] + b"#" + lines[at + 1],  # their line break is damaged
    }[damage]
    (folder / JOURNAL).write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match=rf"in line {at + 1} of .*restore the file.*head -n {at}"):
        open_ledger(make_space())
    (folder / JOURNAL).write_bytes(b"".join(lines[:at]))  # the way out
    assert open_ledger(make_space()).trials()[0].status == "complete"
