"""Populations as the ledger books them: turns, heirs, ends, and a search that is killed anywhere."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from kept import evaluated, keep

from thalweg.errors import StudyError
from thalweg.events import Event, TrialEnded, TrialStarted
from thalweg.search.controller import StudyController
from thalweg.search.space import Space
from thalweg.search.stopping.limits import spent
from thalweg.search.store.optuna_study import Ledger, expendable
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import StudyRecord, TrialRecord

Make = Callable[..., Space]
Open = Callable[..., Ledger]
POINTS = (100, 200, 300, 400)

CONFIG = """
    from typing import ClassVar
    from pydantic import Field
    from thalweg.config import FamilyConfig

    class Toy(FamilyConfig):
        changeable: ClassVar[frozenset[str]] = frozenset({"x"})
        x: float = Field(default=0.0, le=4)
        width: int = 1

    PRESETS = {"tiny": Toy(dataset="none")}
"""
SPACE = '''
    from lab.config import Toy
    from thalweg.study import Population, Study, Trial

    study = Study(
        metric="loss", mode="min", samples=400, num_evaluations=4, population=Population(size=4), seed=5
    )


    def space(trial: Trial) -> Toy:
        """A population."""
        return Toy(dataset="none", x=trial.suggest_float("x", 0.1, 4.0), width=trial.suggest_int("width", 1, 64))
'''


@pytest.fixture
def make(lab: Callable[[str, str], Path], make_space: Make) -> Make:
    """Loads the space of a population with some of the study's settings changed."""
    lab("config", CONFIG)
    lab("toy", SPACE)
    return make_space


def loss_of(x: float, samples: int) -> float:
    """The best value falls while a training goes on."""
    return abs(x - 4 + samples / 100) + random.Random(f"{x} {samples}").random() / 100


class Lab:
    """A study whose trials are trained by hand; each checkpoint says what was trained until then, and with what."""

    def __init__(self, ledger: Ledger, num_lanes: int = 1) -> None:
        self.ledger = ledger
        self.events: list[Event] = []
        self.controller = StudyController(ledger, self.events.append, num_lanes=num_lanes)
        self.order: list[tuple[int, int]] = []
        self.fails: Callable[[int, int], bool] = lambda number, samples: False

    def at(self, proposal: Proposal) -> int:
        """Samples at the checkpoint from which a lane would go on."""
        own = self.ledger.directory / "checkpoints" / f"trial-{proposal.number:05d}"
        found = [own, *([Path(proposal.checkpoint).parent] if proposal.checkpoint else [])]
        samples = [int(each.name[8:]) for folder in found for each in folder.glob("samples-*")]
        return max(samples, default=0)

    def advance(self, proposal: Proposal) -> bool:
        """Trains a trial to its next evaluation; returns whether it leaves its lane."""
        before = self.at(proposal)
        assert before or (not proposal.checkpoint and proposal.inherits is None)
        samples = next(point for point in POINTS if point > before)
        self.order.append((proposal.number, samples))
        if self.fails(proposal.number, samples):
            self.controller.fail(proposal.number, "it broke", "diverged")
            self.clean()
            return True
        value = loss_of(proposal.params["x"], samples)
        place = keep(self.ledger.directory, proposal.number, samples, proposal.config.model_dump(mode="json"))
        report = evaluated(
            samples=samples,
            value=value,
            metrics={"loss": value},
            checkpoint=place,
            final=samples == POINTS[-1],
            timings={"prepare_s": 0.25, "train_s": 1.0},
        )
        left = self.controller.observe(proposal.number, report)
        for older in Path(place).parent.glob("samples-*"):  # retention: the newest one
            if older.name != Path(place).name:
                shutil.rmtree(older)
        if left:
            self.clean()
        return left

    def clean(self) -> None:
        """Deletes checkpoints as a search does."""
        for trial in expendable(self.ledger, self.ledger.read()):
            for name in trial.folders:
                shutil.rmtree(self.ledger.directory / "checkpoints" / name, ignore_errors=True)


def settle(ledger: Ledger, num_lanes: int = 1, stop_after: int | None = None, **hooks: Any) -> Lab:
    """Runs a study until it ends, or for a number of evaluations; lanes take turns."""
    lab = Lab(ledger, num_lanes)
    lab.fails = hooks.get("fails", lab.fails)
    running: dict[int, Proposal] = {}
    count = 0
    while True:
        while isinstance(proposal := lab.controller.propose(), Proposal):
            running[proposal.number] = proposal
        assert lab.controller.failure is None, lab.controller.failure
        if not running:
            assert proposal == "finished"
            return lab
        for number, going in list(running.items()):
            if lab.advance(going):
                del running[number]
            count += 1
            if count == stop_after:
                return lab


def trained(record: StudyRecord) -> set[tuple[Any, ...]]:
    """What was trained, whatever the numbers of the trials: each segment with its values, its curve and its end."""
    by_number = {trial.number: trial for trial in record.trials}

    def origin(trial: TrialRecord) -> tuple[Any, ...]:
        if trial.parent is None:
            return (trial.params["x"], trial.params["width"])
        return (*origin(by_number[trial.parent]), trial.parent_samples, trial.params["x"])

    return {
        (origin(trial), trial.curve, trial.status, trial.replaced_by is None)
        for trial in record.trials
        if not trial.interrupted
    }


def test_members_wait_for_one_another_and_the_worst_ends(make: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make())
    lab = settle(ledger)
    record = ledger.read()
    reached = [samples for _, samples in lab.order]
    assert reached == sorted(reached)  # one lane: all train to a mark before one goes on
    assert reached == [point for point in POINTS for _ in range(4)]
    complete = [trial for trial in record.trials if trial.status == "complete"]
    replaced = [trial for trial in record.trials if trial.replaced_by is not None]
    heirs = [trial for trial in record.trials if trial.parent is not None]
    assert len(complete) == sum(trial.is_over for trial in record.trials) == 4
    assert len(replaced) == len(heirs) == 3  # one of four at each of three marks
    for heir in heirs:
        parent, loser = record.trials[heir.parent or 0], record.trials[heir.replaces or 0]
        assert loser.status == loser.ended_as == "pruned"
        assert f"trial {heir.number} continues trial {parent.number} in its place" in loser.reason
        assert f"the worst 1 of 4 after {heir.parent_samples} samples" in loser.reason
        assert heir.params["width"] == parent.params["width"]
        assert heir.params["x"] != parent.params["x"]
        assert all(samples > heir.parent_samples for samples, _ in heir.curve)
        assert dict(parent.curve)[heir.parent_samples] < dict(loser.curve)[heir.parent_samples]
    assert spent(record.trials, record.trials[0].started).samples == 4 * 400  # type: ignore[arg-type]
    rested = [trial.rested_s for trial in record.trials]
    assert sum(value > 0 for value in rested) >= 4  # one lane: most wait for others
    used = spent(record.trials, record.trials[0].started)  # type: ignore[arg-type]
    whole = sum((t.ended - t.started).total_seconds() for t in record.trials if t.ended and t.started)
    assert (
        used.lane_hours * 3600 == pytest.approx(whole - sum(rested)) and whole > 1.5 * used.lane_hours * 3600
    )
    assert len([event for event in lab.events if isinstance(event, TrialStarted)]) == 7
    assert len([event for event in lab.events if isinstance(event, TrialEnded)]) == 7


@pytest.mark.parametrize("num_lanes", [2, 3, 8])
def test_what_is_trained_does_not_depend_on_the_number_of_lanes(
    num_lanes: int, make: Make, open_ledger: Open
) -> None:
    one, other = open_ledger(make(), "one"), open_ledger(make(), "other")
    settle(one)
    settle(other, num_lanes)
    assert trained(one.read()) == trained(other.read())


@pytest.mark.parametrize(
    ("stop_after", "how"),
    [*((n, "killed") for n in (1, 3, 4, 5, 7, 8, 12, 15)), (3, "stopped"), (4, "stopped"), (6, "stopped")],
)
def test_a_search_that_is_ended_anywhere_goes_on_with_the_same_population(
    stop_after: int, how: str, make: Make, open_ledger: Open
) -> None:
    whole = open_ledger(make(), "whole")
    settle(whole, 2)
    first = open_ledger(make(), "cut")
    lab = settle(first, 2, stop_after=stop_after)
    if how == "stopped":
        lab.controller.close()
    first.close()
    again = open_ledger(make(), "cut")
    later = settle(again, 2)
    assert trained(again.read()) == trained(whole.read())
    assert len(lab.order) + len(later.order) == 16  # nothing is trained twice
    assert {trial.status for trial in again.trials()} <= {"complete", "pruned", "failed"}
    losers = [trial for trial in again.trials() if trial.replaced_by is not None]
    assert all(trial.interrupted or trial.reason.startswith("replaced: it is among") for trial in losers)


def test_whoever_is_killed_again_and_again_while_it_rests_is_not_given_up(
    make: Make, open_ledger: Open
) -> None:
    for _ in range(5):
        ledger = open_ledger(make())
        if not ledger.trials():
            settle(ledger, 1, stop_after=2)
        else:
            assert Lab(ledger).controller.propose() != "finished"
        ledger.close()
    ledger = open_ledger(make())
    settle(ledger)
    assert sum(trial.status == "complete" for trial in ledger.trials()) == 4


def test_whoever_kills_its_search_again_and_again_after_a_mark_is_given_up(
    make: Make, open_ledger: Open
) -> None:
    first = open_ledger(make())
    settle(first, stop_after=4)  # all have reached the first mark
    first.close()
    culprit = None
    for _ in range(4):
        ledger = open_ledger(make())
        proposal = Lab(ledger).controller.propose()
        assert isinstance(proposal, Proposal)
        culprit = culprit or proposal.params["x"]
        ledger.close()
    ledger = open_ledger(make())
    given_up = [trial for trial in ledger.trials() if trial.status == "failed" and not trial.interrupted]
    assert [trial.params["x"] for trial in given_up] == [culprit]
    assert given_up[0].reason == "interrupted: its process died 3 times"
    settle(ledger)
    assert sum(trial.status == "complete" for trial in ledger.trials()) == 4


def test_a_member_that_fails_is_replaced_at_the_next_mark(make: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make())
    settle(ledger, 2, fails=lambda number, samples: number in (1, 2, 3) and samples == 200)
    record = ledger.read()
    failed = [trial for trial in record.trials if trial.status == "failed"]
    assert failed and all(trial.replaced_by is not None for trial in failed)
    assert sum(trial.status == "complete" for trial in record.trials) == 4
    heirs = [record.trials[trial.replaced_by or 0] for trial in failed]
    assert {heir.parent_samples for heir in heirs} == {200}


def test_a_population_of_which_all_have_failed_is_over(make: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make())
    settle(ledger, 2, fails=lambda number, samples: samples == 300)
    assert not [trial for trial in ledger.trials() if trial.status in ("complete", "running", "waiting")]


def test_another_of_the_best_is_continued_if_a_checkpoint_is_gone(make: Make, open_ledger: Open) -> None:
    settings: Mapping[str, Any] = {"population": {"size": 4, "exploit": 0.5}}
    ledger = open_ledger(make(**settings))
    settle(ledger, 1, stop_after=4)
    record = ledger.read()
    best, second = sorted(record.trials, key=lambda trial: trial.curve[0][1])[:2]
    shutil.rmtree(ledger.directory / "checkpoints" / f"trial-{best.number:05d}")
    ledger.close()
    again = open_ledger(make(**settings))
    lab = Lab(again)
    lab.controller.propose()
    heirs = [trial for trial in again.trials() if trial.parent is not None]
    assert [heir.parent for heir in heirs] == [second.number] * 2
    lost = [e.text for e in lab.events if hasattr(e, "text") and "is not continued by another one" in e.text]
    assert len(lost) <= 1


def test_two_populations_train_one_after_the_other(make: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make(num_trials=8))
    lab = settle(ledger, 2)
    record = ledger.read()
    assert sum(trial.status == "complete" for trial in record.trials) == 8
    assert sum(samples for _, samples in lab.order) == 8 * sum(POINTS)
    first = {trial.number for trial in record.trials if trial.parent is None and trial.number < 4}
    assert all(
        (trial.parent in first) == (trial.replaces in first)
        for trial in record.trials
        if trial.parent in range(8) and trial.replaces in range(8)
    )


def test_a_study_with_more_trials_goes_on_with_another_population(make: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make())
    settle(ledger)
    before = ledger.read().trials
    ledger.close()
    again = open_ledger(make(num_trials=8))
    settle(again)
    assert again.read().trials[: len(before)] == before
    assert sum(trial.status == "complete" for trial in again.trials()) == 8


@pytest.mark.parametrize("population", [{"size": 2}, {"size": 4, "every": 200}, None])
def test_a_study_keeps_its_population(population: Any, make: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make())
    settle(ledger, stop_after=1)
    ledger.close()
    changed = {"population": population, "num_trials": 4}
    if population is None:
        changed |= {"scheduler": "none"}
    with pytest.raises(StudyError, match=r"a study keeps its population: 's' has \{'size': 4.*; put it back"):
        open_ledger(make(**changed))
