"""The Gaussian process of ends: what it sees of stopped trials, when it hands over, and spaces of every kind."""

import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import BaseTrial, TrialState

from thalweg.search.store.early_stopping import make_pruner
from thalweg.search.store.learning.gaussian_process import HandOverSampler, expected_ends, with_stand_ins
from thalweg.search.store.samplers import make_sampler
from thalweg.study import Study

Ask = Callable[[optuna.Trial], float]


def searched(ask: Ask, num_trials: int, *, mislead: bool = False, **changes: Any) -> optuna.Study:
    """Runs a study in memory; curves fall to the asked value, or begin the lower the higher they end."""
    settings = {"metric": "loss", "mode": "min", "samples": 800, "num_trials": num_trials}
    settings |= {"sampler": "gp_tpe", "scheduler": "guarded_halving", **changes}
    asked = Study(**settings)
    study = optuna.create_study(sampler=make_sampler(asked), pruner=make_pruner(asked))
    for _ in range(num_trials):
        trial = study.ask()
        end = ask(trial)
        for samples in asked.evaluations:
            left = 1 - samples / asked.samples
            trial.report(end - 3 * left * end if mislead else end + left, samples)
            if samples < asked.samples and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, end)
    return study


def test_trials_that_violate_a_constraint_are_seen_with_the_worst_value() -> None:
    study = searched(valley, 12, sampler="random", scheduler="none", seed=1)
    trials = study.get_trials()
    failed = trials[3]
    failed.state, failed.values, failed.intermediate_values = TrialState.PRUNED, None, {}
    failed.set_constraint("memory", 1.0)
    others = [trial.value for trial in trials if trial.value is not None]
    for direction, worst in ((StudyDirection.MINIMIZE, max(others)), (StudyDirection.MAXIMIZE, min(others))):
        seen = with_stand_ins(trials, [direction])
        assert (seen[3].state, seen[3].value, seen[3].params) == (TrialState.COMPLETE, worst, failed.params)
        assert seen[3].constraints == {}
        assert [trial.value for trial in seen if trial.number != 3] == others
    assert with_stand_ins([failed], [StudyDirection.MINIMIZE]) == [failed]


def valley(trial: BaseTrial) -> float:
    return (trial.suggest_float("x", -1, 1) - 0.3) ** 2 + (trial.suggest_float("y", -1, 1) + 0.6) ** 2


def branches(trial: optuna.Trial) -> float:
    if trial.suggest_categorical("kind", ("plain", "bent")) == "plain":
        return 0.5 + (trial.suggest_float("x", -1, 1) - 0.3) ** 2
    return (trial.suggest_float("bend", 0.1, 10.0, log=True) - 2.0) ** 2 / 10


def categories(trial: optuna.Trial) -> float:
    costs = {"a": 0.4, "b": 0.1, "c": 0.3}
    return costs[trial.suggest_categorical("u", "abc")] + costs[trial.suggest_categorical("v", "abc")]


def single(trial: optuna.Trial) -> float:
    return abs(trial.suggest_int("depth", 1, 64) - 40) / 64


def branches_alone(trial: optuna.Trial) -> float:
    """A space in which no two trials of different kinds share a parameter that is not fixed."""
    return trial.suggest_float(trial.suggest_categorical("kind", ("only",)), 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("ask", [valley, branches, categories, single, branches_alone])
def test_it_searches_spaces_of_every_kind(ask: Ask) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = searched(ask, 16)
    assert len(study.trials) == 16
    random = searched(ask, 16, sampler="random", scheduler="none")
    assert study.best_value <= sorted(trial.value or 0.0 for trial in random.trials)[3]


@pytest.mark.slow
def test_it_learns_from_five_trials_on() -> None:
    """Its last trials lie where the valley is low; random ones would be at 0.9 on average."""
    study = searched(valley, 20)
    ends = [valley(optuna.trial.FixedTrial(trial.params)) for trial in study.trials[-6:]]
    assert sorted(ends)[2] < 0.1


def test_a_stopped_trial_is_shown_with_its_expected_end_and_recorded_as_it_was() -> None:
    study = searched(valley, 12, sampler="random")
    stopped = study.get_trials(states=(TrialState.PRUNED,))
    assert stopped
    shown = {trial.number: trial for trial in expected_ends(study.get_trials(), (100, 300))}
    assert len(shown) == 12
    for trial in stopped:
        end = valley(optuna.trial.FixedTrial(trial.params))
        assert shown[trial.number].state == TrialState.COMPLETE
        assert shown[trial.number].value == pytest.approx(end)  # all curves fall alike
    assert [trial.state for trial in study.trials] == [
        t.state for t in searched(valley, 12, sampler="random").trials
    ]


def test_stopped_trials_are_not_shown_if_rungs_mislead() -> None:
    study = searched(valley, 12, sampler="random", scheduler="successive_halving", mislead=True)
    stopped = study.get_trials(states=(TrialState.PRUNED,))
    trials = study.get_trials()
    for _ in range(3):
        trials += [
            optuna.trial.create_trial(value=v, intermediate_values={100: -v, 300: v}) for v in (1.0, 2.0)
        ]
    shown = list(expected_ends(trials, (100, 300)))
    assert stopped
    assert len(shown) == len(trials) - len(stopped)


def test_where_rungs_mislead_trials_run_to_the_end() -> None:
    study = searched(valley, 14, mislead=True)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 14


class Asked(RandomSampler):
    """A random sampler that notes which trials it is asked for."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.numbers: list[int] = []

    def sample_independent(self, study: Any, trial: Any, param_name: Any, param_distribution: Any) -> Any:
        self.numbers.append(trial.number)
        return super().sample_independent(study, trial, param_name, param_distribution)


def test_later_trials_are_the_other_samplers() -> None:
    first, later = Asked(), Asked()
    study = optuna.create_study(sampler=HandOverSampler(first, later, hand_over=3))
    for _ in range(5):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("x", 0, 1))
    assert (first.numbers, later.numbers) == ([0, 1, 2], [3, 4])
