"""With further objectives a search finds a larger front; constraints are learnt; interruptions change nothing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from kept import evaluated, keep
from optuna.trial import FrozenTrial, TrialState

from thalweg.analysis.pareto.hypervolume import hypervolume
from thalweg.search.space import Space
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.multi_objective.sampler_view import seen_by_samplers
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import OUTCOME, StudyRecord
from thalweg.search.store.samplers import make_sampler
from thalweg.study import SamplerName, Study

SIZE = "cost/num_parameters"
SAMPLERS: tuple[SamplerName, ...] = ("gp_tpe", "tpe", "random", "gp", "nsga2")
MAX_SIZE = 64.0**2


def asked(trial: optuna.Trial) -> tuple[float, float]:
    """Loss and size of a model: a wider one is better, at a smaller rate."""
    width = trial.suggest_int("width", 1, 64, log=True)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    share = trial.suggest_float("share", 0, 0.9)
    off = math.log10(rate) + 1.5 + 0.5 * math.log10(width)
    return width**-0.6 + 0.15 * off**2 + 0.2 * (share - 0.3) ** 2, float(width**2)


def searched(num_trials: int, *, refuse: bool = False, **settings: Any) -> list[tuple[float, float]]:
    """Searches the toy in simulated time and returns (loss, size) of its trials.

    Args:
        num_trials: Number of trials.
        refuse: Whether trials that break a constraint are not trained.
        settings: Settings of the study.
    """
    settings = {"num_startup_trials": 6, **settings}
    given = Study(
        metric="loss",
        mode="min",
        samples=8,
        num_trials=num_trials,
        scheduler="none",
        **settings,
    )
    study, found = optuna.create_study(sampler=make_sampler(given)), []
    for _ in range(num_trials):
        trial = study.ask()
        loss, size = asked(trial)
        found.append((loss, size))
        refused = refuse and Constraints.of_study(given).broken({SIZE: size})
        word = "infeasible" if refused else "complete"
        trial.set_user_attr(OUTCOME, {"metrics": {SIZE: size}, "ended_as": word})
        if refused:
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.report(loss, 8)
            study.tell(trial, loss)
    return found


def volume(found: list[tuple[float, float]]) -> float:
    """Share of the square of loss and the logarithm of the size that trials dominate."""
    points = [[loss, math.log(size) / math.log(MAX_SIZE)] for loss, size in found]
    return hypervolume(np.array(points), np.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp_tpe"])
def test_a_search_of_several_objectives_finds_a_larger_front(sampler: SamplerName) -> None:
    num, num_trials = {"tpe": (6, 24), "gp_tpe": (3, 16)}[sampler]
    several, alone = (
        [volume(searched(num_trials, sampler=sampler, also=also, seed=seed)) for seed in range(num)]
        for also in ({SIZE: "min"}, {})
    )
    assert np.mean(several) > np.mean(alone) + 0.01, (several, alone)


@pytest.mark.parametrize("refuse", [True, False])
@pytest.mark.parametrize(
    "sampler", ["tpe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nsga2", "gp_tpe"))]
)
def test_a_constraint_is_learnt(sampler: SamplerName, *, refuse: bool) -> None:
    """Half of all random trials keep it, and the best trials lie at the bound."""
    num, num_trials, share = {"tpe": (3, 24, 0.6), "nsga2": (4, 24, 0.6), "gp_tpe": (2, 16, 0.9)}[sampler]
    at_most = {SIZE: 64.0}
    kept = [
        size <= 64.0
        for seed in range(num)
        for _, size in searched(num_trials, refuse=refuse, sampler=sampler, seed=seed, at_most=at_most)[8:]
    ]
    assert np.mean(kept) > share


def drive(ledger: Ledger, most: int = 999) -> StudyRecord:
    """Lets one lane run a study of the toy space, each trial in two evaluations, until so many were reported."""
    while ledger.num_open():
        trial = ledger.ask()
        assert isinstance(trial, Proposal)
        width = float(trial.params["width"])
        for samples in (400, 800):
            if samples in dict(trial.curve):
                continue
            if most <= 0:
                return ledger.read()
            config = trial.config.model_dump(mode="json")
            place = keep(ledger.directory, trial.number, samples, config, study=ledger.identity)
            loss = width**-0.6 + (trial.params["x"] - 0.3) ** 2
            told = evaluated(
                samples=samples,
                value=loss + (800 - samples) / 1000,
                costs={"num_parameters": width**2},
                checkpoint=place,
            )
            ledger.report(trial.number, told)
            most -= 1
            if samples == 800:
                ledger.complete(trial.number)
            elif ledger.should_stop(trial.number):
                ledger.prune(trial.number)
                break
    return ledger.read()


@pytest.mark.parametrize("scheduler", ["none", pytest.param("successive_halving", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "sampler",
    [name if name == "tpe" else pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS],
)
def test_a_resumed_study_proposes_what_it_would_have(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger], sampler: SamplerName, scheduler: str
) -> None:
    space = make_space(
        sampler=sampler,
        scheduler=scheduler,
        num_trials=9,
        num_evaluations=2,
        num_startup_trials=4,
        also={SIZE: "min"},
        at_most={SIZE: 50.0**2},
        max_retries=99,
    )
    whole = drive(open_ledger(space, "whole"))
    parts = open_ledger(space, "parts")
    while parts.num_open() or parts.read().trials[-1].status == "waiting":
        drive(parts, 3)
        parts.close()
        parts = open_ledger(space, "parts")
    assert any(trial.interrupted for trial in parts.trials())
    done = [dict(trial.params) for trial in parts.trials() if not trial.interrupted]
    assert done == [dict(trial.params) for trial in whole.trials]


def trial(
    number: int, state: TrialState, ended_as: str, curve: dict[int, float], **metrics: float
) -> FrozenTrial:
    """A trial that ended."""
    made = FrozenTrial(
        number=number,
        state=state,
        value=curve[max(curve)] if state == TrialState.COMPLETE else None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={"outcome": {"ended_as": ended_as, "metrics": metrics}},
        system_attrs={},
        intermediate_values=curve,
        trial_id=number,
    )
    return made


def test_samplers_see_all_objectives_and_constraints() -> None:
    study = Study(
        metric="loss",
        mode="min",
        samples=800,
        scheduler="successive_halving",
        also={"skill": "max"},
        at_most={"rmse": 2.0},
    )
    ended = {100: 5.0, 800: 1.0}
    trials = [
        trial(0, TrialState.COMPLETE, "complete", ended, skill=0.5, rmse=1.0),
        trial(1, TrialState.COMPLETE, "complete", ended, rmse=4.0),
        trial(2, TrialState.PRUNED, "pruned", {100: 7.0}, skill=0.25, rmse=4.0),
        trial(3, TrialState.FAIL, "out_of_memory", {100: 7.0}),
        trial(4, TrialState.FAIL, "infeasible", {}, rmse=6.0),
        trial(5, TrialState.FAIL, "infeasible", {}),
        trial(6, TrialState.FAIL, "diverged", {}, rmse=6.0),
    ]
    seen = {each.number: each for each in seen_by_samplers(trials, study)}
    assert 1 not in seen  # its skill is not known
    assert {number: seen[number].values for number in (0, 2, 3, 4)} == {
        0: [1.0, 0.5],
        2: [3.0, 0.25],
        3: [2.0, 0.375],
        4: [2.0, 0.375],
    }
    words = "rmse at most 2"
    assert [seen[number].constraints for number in (0, 2, 3, 4)] == [
        {words: -math.log(2), "memory": -1.0},
        {words: math.log(2), "memory": -1.0},
        {words: 0.0, "memory": 1.0},
        {words: math.log(3), "memory": -1.0},
    ]
    assert [seen[number].state for number in (5, 6)] == [TrialState.FAIL] * 2
    assert trials[3].state == TrialState.FAIL and not trials[0].constraints


def test_trials_of_one_objective_without_constraints_stay_as_they_are() -> None:
    study = Study(metric="loss", mode="min", samples=800)
    trials = [trial(0, TrialState.COMPLETE, "complete", {800: 1.0}, skill=0.5)]
    assert seen_by_samplers(trials, study) == trials


def test_a_bound_that_all_trials_break_is_shown_within_reach() -> None:
    study = Study(metric="loss", mode="min", samples=8, at_most={"rmse": 1.0, "bias": 1.0})
    many = [
        trial(number, TrialState.COMPLETE, "complete", {8: 1.0}, rmse=math.exp(5 + number), bias=math.exp(3))
        for number in range(3)
    ]
    seen = [each.constraints for each in seen_by_samplers(many, study)]
    spread = math.sqrt(2 / 3)
    assert [list(each) for each in seen] == [["rmse at most 1"]] * 3  # all break that of the bias equally
    assert [each["rmse at most 1"] for each in seen] == pytest.approx([spread, spread + 1, spread + 2])


@pytest.mark.parametrize("sampler", ["gp_tpe", "gp"])
def test_a_gaussian_process_goes_on_if_the_first_trial_breaks_a_constraint(sampler: SamplerName) -> None:
    assert len(searched(3, sampler=sampler, num_startup_trials=1, at_most={SIZE: 1.5})) == 3
