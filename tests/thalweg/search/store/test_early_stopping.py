"""Who is stopped at a rung: against a slow re-implementation, against Optuna, and across interruptions."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import evaluated, keep

from families.toy.task import Alignment
from thalweg.search.space import Space
from thalweg.search.store.curves.stopping import ExpectedImprovement
from thalweg.search.store.early_stopping import (
    GuardedHalving,
    Hyperband,
    SuccessiveHalving,
    judged_from,
    make_pruner,
)
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.stage_contract import Stage
from thalweg.study import Study

POINTS = tuple(range(100, 1000, 100))
RUNGS = (100, 300)  # of a budget of 900, which is no rung

Curves = list[list[float]]
Direction = Literal["minimize", "maximize"]
curves_of_trials = st.lists(
    st.lists(st.integers(0, 12).map(float), min_size=9, max_size=9), min_size=1, max_size=24
)


def run(
    pruner: optuna.pruners.BasePruner, curves: Curves, direction: Direction, seed: int, num_lanes: int = 3
) -> dict[int, int]:
    """Runs trials side by side in a random order; returns the samples at which each was stopped."""
    study = optuna.create_study(
        direction=direction, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    order, waiting = random.Random(seed), list(range(len(curves)))
    running: dict[int, optuna.Trial] = {}
    stopped: dict[int, int] = {}
    done: Counter[int] = Counter()
    while waiting or running:
        if waiting and len(running) < num_lanes:
            trial = study.ask()
            running[waiting.pop(0)] = trial
            continue
        index = order.choice(sorted(running))
        samples, value = POINTS[done[index]], curves[index][done[index]]
        done[index] += 1
        running[index].report(value, samples)
        if samples == POINTS[-1]:
            study.tell(running.pop(index), value)
        elif running[index].should_prune():
            stopped[index] = samples
            study.tell(running.pop(index), state=optuna.trial.TrialState.PRUNED)
    return stopped


class SlowHalving(optuna.pruners.BasePruner):
    """Asynchronous successive halving as a list of arrivals per rung."""

    def __init__(self, factor: int) -> None:
        self.arrivals: dict[int, list[float]] = {rung: [] for rung in RUNGS}
        self.factor = factor

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        assert trial.last_step is not None
        if trial.last_step not in RUNGS:
            return False
        value = trial.intermediate_values[trial.last_step]
        if study.direction == optuna.study.StudyDirection.MAXIMIZE:
            value = -value
        arrived = self.arrivals[trial.last_step]
        arrived.append(value)
        places = len(arrived) // self.factor or 1
        winners = sorted(arrived)[:places]
        return value > winners[-1]


@settings(max_examples=60, deadline=None)
@given(curves=curves_of_trials, seed=st.integers(0, 99), direction=st.sampled_from(["minimize", "maximize"]))
def test_halving_stops_whom_the_slow_one_stops(curves: Curves, seed: int, direction: Direction) -> None:
    ours = run(SuccessiveHalving(RUNGS, 3), curves, direction, seed)
    assert ours == run(SlowHalving(3), curves, direction, seed)


@settings(max_examples=60, deadline=None)
@given(curves=curves_of_trials, seed=st.integers(0, 99), direction=st.sampled_from(["minimize", "maximize"]))
def test_halving_stops_whom_optuna_stops(curves: Curves, seed: int, direction: Direction) -> None:
    theirs = optuna.pruners.SuccessiveHalvingPruner(min_resource=100, reduction_factor=3)
    assert run(SuccessiveHalving(RUNGS, 3), curves, direction, seed) == run(theirs, curves, direction, seed)


def test_who_is_better_than_all_before_is_never_stopped() -> None:
    curves = [[float(-index)] * 9 for index in range(30)]
    assert run(SuccessiveHalving(RUNGS, 3), curves, "minimize", 0, num_lanes=1) == {}


def test_who_is_worse_than_all_before_is_stopped_at_the_first_rung() -> None:
    curves = [[float(index)] * 9 for index in range(30)]
    stopped = run(SuccessiveHalving(RUNGS, 3), curves, "minimize", 0, num_lanes=1)
    assert stopped == dict.fromkeys(range(1, 30), 100)


def test_a_trial_is_judged_once_the_stage_that_teaches_its_metric_is_under_way() -> None:
    """That stage must have had the share of its samples that the first rung is of the budget, here a ninth."""
    study = Study(metric="skill", mode="max", samples=900, num_evaluations=9, reduction_factor=3)
    assert study.rungs[0] == 100

    def judged(*stages: tuple[float, tuple[str, ...] | None]) -> int:
        parts = (
            Stage(name=str(number), share=share, loss=Alignment(), teaches=teaches)
            for number, (share, teaches) in enumerate(stages)
        )
        return judged_from(tuple(parts), study)

    assert judged((1.0, None)) == judged((1.0, ("skill", "rmse"))) == 100
    assert judged((0.5, None), (0.5, ())) == 50
    assert judged((0.2, ()), (0.8, None)) == 180 + 80
    assert judged((0.2, ()), (0.3, ("rmse",)), (0.5, ("skill",))) == 450 + 50
    assert judged((0.5, ()), (0.5, ("rmse",))) == 900
    assert judged_from((), study.vary(scheduler="none")) == 0


@pytest.mark.parametrize("pruner", [SuccessiveHalving(RUNGS, 3), Hyperband(RUNGS, 3)])
def test_who_is_not_judged_yet_is_neither_stopped_nor_a_rival(pruner: optuna.pruners.BasePruner) -> None:
    study = optuna.create_study(direction="minimize", pruner=pruner)
    trials = [study.ask() for _ in range(40)]
    bracket = pruner.bracket if isinstance(pruner, Hyperband) else lambda number: 0
    early = [trial for trial in trials if bracket(trial.number) == 0]
    untaught, better, worse = early[:6], early[6], early[7]
    for trial in untaught:
        trial.set_user_attr("judged_from", 200)
    for value, trial in enumerate([*untaught[:3], better, *untaught[3:], worse]):
        trial.report(float(value), 100)
    assert [trial.number for trial in early[:8] if trial.should_prune()] == [worse.number]
    for value, trial in enumerate(untaught):
        trial.report(float(value), 300)
    assert [trial.should_prune() for trial in untaught] == [False, False, True, True, True, True]


def test_the_ledger_judges_each_trial_by_its_own_stages(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    """Trials of even number have a first stage that teaches nothing: the first rung neither stops nor counts them."""
    settings = {"sampler": "random", "scheduler": "successive_halving"}
    ledger = open_ledger(make_space(samples=900, num_evaluations=9, num_trials=8, **settings))
    first = Stage(name="first", share=0.2, loss=Alignment(), teaches=())
    second = Stage(name="second", share=0.8, loss=Alignment())
    asked = iter(range(8))
    ledger.judge_by(lambda config: (Stage(loss=Alignment()),) if next(asked) % 2 else (first, second))
    stopped: dict[int, list[bool]] = {100: [], 300: []}
    for value in range(8):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        for samples in POINTS[:3]:
            ledger.report(proposal.number, evaluated(samples=samples, value=float(value)))
            if samples in stopped:
                stopped[samples].append(ledger.should_stop(proposal.number))
    # The second trial is the first of its kind at the first rung, and the second of all at the next one.
    assert stopped[100] == [False, False, False, True, False, True, False, True]
    assert stopped[300] == [False] + [True] * 7


def settle(
    make_space: Callable[..., Space], folder: Path, scheduler: str, interrupt_at: dict[str, int]
) -> dict[float, tuple[str, Any]]:
    """Runs 20 trials one after another, whose values follow from their parameters; returns how they ended."""
    space = make_space(samples=900, num_evaluations=9, num_trials=20, sampler="random", scheduler=scheduler)
    ledger = Ledger.open(folder, "s", space)
    left = dict(interrupt_at)
    while ledger.num_open():
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        x, number = proposal.params["x"], proposal.number
        known = len(proposal.curve)
        for samples in POINTS[known:]:
            value = abs(x) + random.Random(f"{x} {samples}").random() / 4
            place = keep(folder, number, samples, proposal.config.model_dump(mode="json"))
            point = evaluated(samples=samples, value=value, checkpoint=place, final=samples == 900)
            ledger.report(number, point)
            if samples == 900:
                ledger.complete(number)
            elif ledger.should_stop(number):
                ledger.prune(number)
            elif left.get(f"{x:.6f}") == samples:
                del left[f"{x:.6f}"]
                ledger.interrupt_all()
            else:
                continue
            break
    ended = [trial for trial in ledger.trials() if not trial.interrupted]
    ledger.close()
    assert not left
    assert len(ended) == 20
    return {trial.params["x"]: (trial.status, trial.curve) for trial in ended}


@pytest.mark.parametrize("scheduler", ["guarded_halving", "successive_halving"])
def test_interruptions_do_not_change_who_is_stopped(
    make_space: Callable[..., Space], tmp_path: Path, scheduler: str
) -> None:
    plain = settle(make_space, tmp_path / "plain", scheduler, {})
    assert {status for status, _ in plain.values()} == {"complete", "pruned"}
    survivors = [(x, curve) for x, (_, curve) in plain.items() if len(curve) > 1]
    cuts = {f"{x:.6f}": curve[len(curve) // 2 - 1][0] for x, curve in survivors}
    assert len(cuts) > 3
    assert settle(make_space, tmp_path / "cut", scheduler, cuts) == plain


def like(value: float) -> list[float]:
    return [value + 1 - samples / 900 for samples in POINTS]


def test_the_guarded_stop_nothing_before_three_trials_have_ended_and_halve_from_there() -> None:
    curves = [like(value) for value in (1.0, 2.0, 3.0, 4.0, 5.0, 0.5, 6.0)]
    assert set(run(SuccessiveHalving(RUNGS, 3), curves, "minimize", 0, num_lanes=1)) == {1, 2, 3, 4, 6}
    assert run(GuardedHalving(RUNGS, 3), curves, "minimize", 0, num_lanes=1) == {3: 100, 4: 100, 6: 100}


@pytest.mark.parametrize("misleading", RUNGS)
def test_the_guarded_stop_nothing_where_one_rung_misleads(misleading: int) -> None:
    """Trials that are the better there the worse they end; the other rung ranks them as the end does."""
    curves = [like(value) for value in (1.0, 2.0, 3.0, 4.0, 5.0, 0.5, 6.0)]
    for curve in curves:
        curve[POINTS.index(misleading)] = -curve[-1]
    assert run(SuccessiveHalving(RUNGS, 3), curves, "minimize", 0, num_lanes=1)
    assert run(GuardedHalving(RUNGS, 3), curves, "minimize", 0, num_lanes=1) == {}


@given(curves_of_trials, st.integers(0, 999), st.sampled_from(["minimize", "maximize"]))
@settings(max_examples=50, deadline=None)
def test_the_guarded_stop_no_trial_that_trusted_rungs_would_not(
    curves: Curves, seed: int, direction: Direction
) -> None:
    """Whoever is stopped came after three that ran to the end, and is not the best that has reached its rung."""
    stopped = run(GuardedHalving(RUNGS, 3), curves, direction, seed, num_lanes=1)
    sign = 1 if direction == "minimize" else -1
    for index, samples in stopped.items():
        ended = [other for other in range(index) if other not in stopped]
        assert len(ended) >= 3
        place = POINTS.index(samples)
        there = [other for other in range(index) if stopped.get(other, 900) >= samples]
        assert min(sign * curves[other][place] for other in there) < sign * curves[index][place]


def test_hyperband_deals_trials_to_brackets_in_the_papers_proportions() -> None:
    hyperband = Hyperband(RUNGS, 3)  # s = 2, 1, 0: n = 9, 5, 3 of 17
    dealt = Counter(hyperband.bracket(number) for number in range(1700))
    assert [dealt[bracket] for bracket in range(3)] == pytest.approx([900, 500, 300], abs=10)
    assert {hyperband.bracket(number) for number in range(8)} == {0, 1, 2}


def test_a_bracket_stops_at_its_own_rungs_against_its_own_trials() -> None:
    hyperband = Hyperband(RUNGS, 3)
    curves = [[float(index)] * 9 for index in range(40)]
    stopped = run(hyperband, curves, "minimize", 3)
    firsts = {0: {100, 300}, 1: {300}, 2: set()}
    for index, samples in stopped.items():
        assert samples in firsts[hyperband.bracket(index)]
    assert len({hyperband.bracket(index) for index in stopped}) == 2


def test_a_continued_trial_keeps_its_bracket() -> None:
    study = optuna.create_study(direction="minimize", pruner=Hyperband(RUNGS, 3))
    hyperband = Hyperband(RUNGS, 3)
    early = next(number for number in range(9) if hyperband.bracket(number) == 0)
    for number in range(40):
        trial = study.ask()
        if number == early:
            trial.report(0.0, 100)
    late = next(number for number in range(40, 80) if hyperband.bracket(number) == 2)
    while True:
        trial = study.ask()
        if trial.number == late:
            break
    trial.report(1.0, 100)
    assert not trial.should_prune()  # bracket 2 has no rungs
    trial.set_user_attr("continues", early + 0)
    rival = study.trials[early]
    assert rival.intermediate_values == {100: 0.0}
    # Now it stands for the early trial, in bracket 0, where it is alone: the early one is left out.
    assert not trial.should_prune()
    other = next(n for n in range(9) if hyperband.bracket(n) == 0 and n != early)
    optuna.trial.Trial(study, study.trials[other]._trial_id).report(0.5, 100)
    assert trial.should_prune()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ExpectedImprovement),
        ({"scheduler": "guarded_halving"}, GuardedHalving),
        ({"scheduler": "successive_halving"}, SuccessiveHalving),
        ({"scheduler": "promotion"}, SuccessiveHalving),
        ({"scheduler": "guarded_promotion"}, GuardedHalving),
        ({"scheduler": "hyperband"}, Hyperband),
        ({"scheduler": "none"}, optuna.pruners.NopPruner),
        ({"min_samples": 900}, optuna.pruners.NopPruner),
    ],
)
def test_schedulers_are_made_by_name(changes: dict[str, Any], kind: type) -> None:
    settings = {"metric": "loss", "mode": "min", "samples": 900, "num_evaluations": 9, **changes}
    study = Study(**settings)
    pruner = make_pruner(study)
    assert type(pruner) is kind
    assert getattr(pruner, "promotes", False) == study.promotes
