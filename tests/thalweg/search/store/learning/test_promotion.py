"""Promotion: who goes on from a rung that stopped it, against the paper's algorithm, and as the ledger books it."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import evaluated, keep
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.events import Event, TrialEnded, TrialStarted
from thalweg.search.controller import StudyController
from thalweg.search.space import Space
from thalweg.search.store.early_stopping import GuardedHalving, SuccessiveHalving
from thalweg.search.store.learning.promotion import hopeful, promotable
from thalweg.search.store.optuna_study import Ledger, expendable
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import TrialRecord

Make = Callable[..., Space]
Open = Callable[..., Ledger]
RUNGS = (100, 300)
POINTS = tuple(range(100, 1000, 100))
MIN, MAX = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE


def as_trial(number: int, curve: Mapping[int, float], state: TrialState) -> FrozenTrial:
    value = curve[max(curve)] if state == TrialState.COMPLETE else None
    trial = create_trial(
        state=state,
        value=value,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=dict(curve),
    )
    trial.number = number
    return trial


def asha(factor: int) -> SuccessiveHalving:
    return SuccessiveHalving(RUNGS, factor, least=0, promotes=True)


def get_job(rungs: list[dict[int, float]], promoted: list[set[int]], factor: int) -> tuple[int, int] | None:
    """Algorithm 2 of arXiv:1810.05934: a configuration and the rung that it leaves; None if it draws a new one."""
    for k in reversed(range(len(rungs))):
        top_k = sorted(rungs[k], key=lambda config: rungs[k][config])[: len(rungs[k]) // factor]
        candidates = [config for config in top_k if config not in promoted[k]]
        if candidates:
            return candidates[0], k
    return None


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(st.integers(0, 2), max_size=24),
    seed=st.integers(0, 99),
    factor=st.integers(2, 4),
    direction=st.sampled_from([MIN, MAX]),
)
def test_who_is_promoted_is_whom_the_papers_algorithm_promotes(
    places: list[int], seed: int, factor: int, direction: StudyDirection
) -> None:
    """`places` are the rungs that stopped trials: the first, the second, or none, for it ran to its end."""
    rng, sign = random.Random(seed), 1.0 if direction == MIN else -1.0
    rungs: list[dict[int, float]] = [{}, {}]
    promoted: list[set[int]] = [set(), set()]
    trials = []
    for number, place in enumerate(places):
        curve = {samples: rng.random() for samples in (*RUNGS, 900)[: place + 1]}
        for k, rung in enumerate(RUNGS[: place + 1]):
            rungs[k][number] = sign * curve[rung]
            promoted[k] |= {number} if place > k else set()
        trials.append(as_trial(number, curve, TrialState.COMPLETE if place == 2 else TrialState.PRUNED))
    job = get_job(rungs, promoted, factor)
    found = promotable(trials, asha(factor), direction)
    assert [(t.number, RUNGS.index(t.last_step or 0)) for t in found[:1]] == ([job] if job else [])
    assert {t.number for t in found} <= hopeful(trials, asha(factor), direction, 0)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 30), min_size=1, max_size=20),
    seed=st.integers(0, 99),
    least=st.integers(0, 1),
)
def test_whose_checkpoint_is_given_up_is_never_promoted(values: list[int], seed: int, least: int) -> None:
    """Of trials that all wait at the first rung, whatever comes after them."""
    halving, rng = SuccessiveHalving(RUNGS, 3, least=least, promotes=True), random.Random(seed)
    trials = [as_trial(n, {100: float(value)}, TrialState.PRUNED) for n, value in enumerate(values)]
    num_open, kept = 8, set(range(len(trials)))
    while num_open:
        now = hopeful(trials, halving, MIN, num_open)
        kept &= now | set(range(len(values), len(trials)))
        assert {t.number for t in promotable(trials, halving, MIN)} <= now
        trials.append(as_trial(len(trials), {100: float(rng.randint(0, 30))}, TrialState.PRUNED))
        kept.add(trials[-1].number)
        num_open -= 1
        assert {t.number for t in promotable(trials, halving, MIN)} <= kept


def test_rungs_that_mislead_promote_none() -> None:
    """They let all pass, which says nothing for those that they stopped before."""
    ended = [
        as_trial(n, {100: float(n), 300: float(n), 900: -float(n)}, TrialState.COMPLETE) for n in range(6)
    ]
    trials = [*ended, as_trial(6, {100: -1.0}, TrialState.PRUNED)]
    assert promotable(trials, GuardedHalving(RUNGS, 3, promotes=True), MIN) == []
    (best,) = promotable(trials, SuccessiveHalving(RUNGS, 3, promotes=True), MIN)
    assert best.number == 6


class Lab:
    """A study whose trials are trained by hand: values follow from parameters."""

    def __init__(self, ledger: Ledger, num_lanes: int = 1) -> None:
        self.ledger = ledger
        self.events: list[Event] = []
        self.controller = StudyController(ledger, self.events.append, num_lanes=num_lanes)

    def advance(self, proposal: Proposal, known: int) -> bool:
        """Trains a trial to its next evaluation; returns whether it ended."""
        samples, x = POINTS[known], proposal.params["x"]
        value = abs(x) + random.Random(f"{x} {samples}").random() / 4
        place = keep(self.ledger.directory, proposal.number, samples, proposal.config.model_dump(mode="json"))
        report = evaluated(
            samples=samples,
            value=value,
            metrics={"loss": value},
            checkpoint=place,
            final=samples == 900,
            timings={"prepare_s": 0.25, "train_s": 1.0},
        )
        ended = self.controller.observe(proposal.number, report)
        if ended:
            self.clean()
        return ended

    def clean(self) -> None:
        """Deletes checkpoints as a search does."""
        for trial in expendable(self.ledger, self.ledger.read()):
            for name in trial.folders:
                shutil.rmtree(self.ledger.directory / "checkpoints" / name, ignore_errors=True)

    def kept(self) -> set[int]:
        folders = (self.ledger.directory / "checkpoints").iterdir()
        return {int(folder.name.rpartition("-")[2]) for folder in folders}


def settle(ledger: Ledger, num_lanes: int = 1, stop_after: int | None = None) -> Lab:
    """Runs a study until it ends, or for a number of evaluations; lanes take turns."""
    lab = Lab(ledger, num_lanes)
    running: dict[int, tuple[Proposal, int]] = {}
    count = 0
    while True:
        while isinstance(proposal := lab.controller.propose(), Proposal):
            known = len(proposal.curve)
            if known:
                assert proposal.checkpoint is not None
                assert Path(proposal.checkpoint, "state.json").exists()
                assert Path(proposal.checkpoint).name.endswith(f"{proposal.curve[-1][0]}")
            running[proposal.number] = proposal, known
        assert lab.controller.failure is None
        if not running:
            assert proposal == "finished"
            return lab
        for number, (going, known) in list(running.items()):
            running[number] = going, known + 1
            if lab.advance(going, known):
                del running[number]
            count += 1
            if count == stop_after:
                lab.controller.close()
                return lab


def ended(ledger: Ledger) -> dict[float, tuple[str, tuple[tuple[int, float], ...], int]]:
    return {
        trial.params["x"]: (trial.status, trial.curve, trial.samples)
        for trial in ledger.trials()
        if trial.is_over
    }


def promotions(ledger: Ledger) -> list[TrialRecord]:
    trials = ledger.trials()
    return [trial for trial in trials if trial.continues is not None and trials[trial.continues].promoted]


@pytest.fixture
def promoting(make_space: Make) -> Make:
    def make(**changes: object) -> Space:
        usual = {"samples": 900, "num_evaluations": 9, "num_trials": 12, "sampler": "random"}
        return make_space(**{**usual, "scheduler": "promotion", **changes})

    return make


@pytest.mark.slow
def test_a_promoted_trial_ends_as_one_that_was_never_stopped(
    promoting: Make, make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(promoting())
    lab = settle(ledger)
    whole = open_ledger(
        make_space(samples=900, num_evaluations=9, num_trials=12, sampler="random", scheduler="none"), "whole"
    )
    settle(whole)
    found, never = ended(ledger), ended(whole)
    assert found.keys() == never.keys()  # as many configurations, and the same ones
    assert len(found) == 12
    complete = {x: end for x, end in found.items() if end[0] == "complete"}
    assert complete
    assert complete.items() <= never.items()
    went_on = promotions(ledger)
    assert len(went_on) >= 3  # the first three all wait at the first rung
    assert any(trial.status == "complete" for trial in went_on)
    assert {trial.switch_s for trial in went_on} == {0.25}
    assert lab.kept() == {trial.number for trial in ledger.read().ranking()[:3]}
    tags = [event.tags for event in lab.events if isinstance(event, TrialStarted)]
    told = [(tag["continues"], tag["promoted_after"]) for tag in tags if "continues" in tag]
    trials = ledger.trials()
    assert told == [(str(t.continues), str(trials[t.continues or 0].samples)) for t in went_on]


@pytest.mark.parametrize("scheduler", ["promotion", "guarded_promotion"])
def test_at_the_end_no_rung_would_let_another_pass(
    promoting: Make, open_ledger: Open, scheduler: str
) -> None:
    ledger = open_ledger(promoting(scheduler=scheduler))
    lab = settle(ledger, num_lanes=3)
    assert ledger.read().best() is not None
    trials = [trial for trial in ledger.trials() if trial.is_over]
    assert len(trials) == 12
    followed = [trial.continues for trial in ledger.trials() if trial.continues is not None]
    assert len(followed) == len(set(followed))  # none is promoted twice
    for rung in RUNGS:
        there = sorted((dict(t.curve)[rung], t.curve[-1][0]) for t in trials if rung in dict(t.curve))
        passed = [last > rung for _, last in there]
        assert all(passed[: max(1, len(there) // 3)])
    assert all(event.status != "failed" for event in lab.events if isinstance(event, TrialEnded))


@pytest.mark.parametrize(
    "scheduler", ["promotion", pytest.param("guarded_promotion", marks=pytest.mark.slow)]
)
def test_interruptions_do_not_change_who_is_promoted(
    promoting: Make, open_ledger: Open, scheduler: str
) -> None:
    space = promoting(scheduler=scheduler, num_trials=9)
    plain = open_ledger(space, "plain")
    settle(plain)
    cut = open_ledger(space, "cut")
    for count in (3, 1, 5, 2, 4):
        settle(cut, stop_after=count)
        cut.close()
        cut = open_ledger(space, "cut")
    settle(cut)
    assert ended(cut) == ended(plain)


@pytest.fixture
def first_is_best(promoting: Make, open_ledger: Open) -> Lab:
    """A study of three trials that wait at the first rung; the first one passes by now."""
    points = tuple({"x": x, "kind": "plain"} for x in (0.1, 0.6, 0.9))
    lab = Lab(open_ledger(promoting(num_trials=3, first_trials=points)))
    for _ in points:
        proposal = lab.controller.propose()
        assert isinstance(proposal, Proposal)
        assert lab.advance(proposal, 0)
    return lab


def test_only_checkpoints_of_trials_that_may_go_on_are_kept(first_is_best: Lab) -> None:
    assert first_is_best.kept() == {0}
    proposal = first_is_best.ledger.ask()
    assert isinstance(proposal, Proposal)
    assert (proposal.number, proposal.continues, proposal.promoted) == (3, 0, True)
    assert [trial.is_over for trial in first_is_best.ledger.trials()] == [False, True, True, False]


def test_a_trial_whose_checkpoint_is_gone_stays_stopped_and_costs_no_new_one(
    first_is_best: Lab, promoting: Make, open_ledger: Open
) -> None:
    first_is_best.ledger.close()
    shutil.rmtree(first_is_best.ledger.directory / "checkpoints")
    points = first_is_best.ledger.space.study.first_trials
    ledger = open_ledger(promoting(num_trials=4, first_trials=points))
    assert ledger.num_open() == 1
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    assert proposal.continues is None
    place = "checkpoints/trial-00000/samples-000000000100"
    assert proposal.notes == (f"trial 0 is not promoted: the checkpoint {place} is gone",)
    assert ledger.num_open() == 0


def test_a_process_that_dies_while_it_promotes_begins_the_trial_once(
    first_is_best: Lab, promoting: Make, open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("thalweg.search.store.private_optuna.take_up", die)
        with pytest.raises(KeyboardInterrupt):
            first_is_best.ledger.ask()
    first_is_best.ledger.close()
    ledger = open_ledger(first_is_best.ledger.space)
    assert [trial.status for trial in ledger.trials()][3:] == ["waiting"]
    assert ledger.num_open() == 1
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    assert (proposal.number, proposal.continues, proposal.promoted) == (3, 0, True)
    assert ledger.num_open() == 0


def test_a_study_that_is_too_small_for_its_rungs_ends_with_a_whole_trial(
    first_is_best: Lab, open_ledger: Open
) -> None:
    """One of three passes the first rung, and is the best of one at the second."""
    first_is_best.ledger.close()
    ledger = open_ledger(first_is_best.ledger.space)
    settle(ledger)
    assert [(trial.status, trial.samples) for trial in ledger.trials() if trial.is_over] == [
        ("pruned", 100),
        ("pruned", 100),
        ("complete", 900),
    ]
