"""The sampler by curves: it learns from curves, keeps lanes apart, and enters branches."""

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import BaseTrial, FixedTrial, TrialState

from thalweg.search.store.early_stopping import make_pruner
from thalweg.search.store.multi_objective.sampler_view import directions_of
from thalweg.search.store.samplers import make_sampler
from thalweg.study import Study


def valley(trial: BaseTrial) -> float:
    return (trial.suggest_float("x", -1, 1) - 0.3) ** 2 + (trial.suggest_float("y", -1, 1) + 0.6) ** 2


def branches(trial: BaseTrial) -> float:
    if trial.suggest_categorical("kind", ("plain", "bent")) == "plain":
        return 0.5 + (trial.suggest_float("x", -1, 1) - 0.3) ** 2
    return (trial.suggest_float("bend", 0.1, 10.0, log=True) - 2.0) ** 2 / 10


def study_of(num_trials: int, **changes: Any) -> tuple[Study, optuna.Study]:
    settings = {"metric": "loss", "mode": "min", "samples": 800, "num_trials": num_trials}
    settings |= {"sampler": "curves", "scheduler": "expected_improvement", **changes}
    asked = Study(**settings)
    (direction,) = directions_of(asked)
    study = optuna.create_study(sampler=make_sampler(asked), pruner=make_pruner(asked), direction=direction)
    return asked, study


def searched(ask: Any, num_trials: int, sign: float = 1.0, **changes: Any) -> optuna.Study:
    """Runs a study in memory, one trial at a time, whose curves fall to what is asked."""
    asked, study = study_of(num_trials, **changes)
    for _ in range(num_trials):
        trial = study.ask()
        end = ask(trial)
        for samples in asked.evaluations:
            trial.report(sign * (end + 1 - samples / asked.samples), samples)
            if samples < asked.samples and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, sign * end)
    return study


def ends(study: optuna.Study, ask: Any = valley) -> list[float]:
    return [ask(FixedTrial(trial.params)) for trial in study.trials]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "sign"), [("min", 1.0), ("max", -1.0)])
def test_its_trials_lie_where_the_valley_is_low(mode: str, sign: float) -> None:
    study = searched(valley, 14, sign, mode=mode)
    assert sorted(ends(study)[-6:])[2] < 0.1  # random ones would be at 0.9 on average


def within(trial: BaseTrial) -> float:
    width = trial.suggest_int("width", 1, 64)
    return abs(width - 20) + 2.0 * abs(trial.suggest_int("depth", 1, width) - 5)


@pytest.mark.slow
def test_it_searches_a_range_that_hangs_on_another_parameter() -> None:
    """What no trial can have would stay promising for ever: the same few widths again and again."""
    study = searched(within, 20)
    tried = [(trial.params["width"], trial.params["depth"]) for trial in study.trials]
    assert len(set(tried)) == 20
    assert sorted(ends(study, within)[-8:])[3] < 15  # random ones would be at 44 on average


@pytest.mark.slow
def test_it_searches_the_branch_that_is_better() -> None:
    study = searched(branches, 20)
    assert min(ends(study, branches)) < 0.05
    kinds = [trial.params["kind"] for trial in study.trials]
    assert kinds[-10:].count("bent") >= 6
    assert {"plain", "bent"} == set(kinds)
    for trial in study.trials:
        assert trial.params.keys() == {"kind", "x" if trial.params["kind"] == "plain" else "bend"}


@pytest.mark.slow
def test_it_is_the_same_each_time_and_another_with_another_seed() -> None:
    one, same, other = (searched(valley, 8, seed=seed) for seed in (0, 0, 1))
    assert [t.params for t in one.trials] == [t.params for t in same.trials]
    assert one.trials[-1].params != other.trials[-1].params


@pytest.mark.slow
def test_lanes_do_not_try_the_same() -> None:
    _, study = study_of(12, num_startup_trials=4)
    for number in range(4):
        trial = study.ask()
        study.tell(trial, valley(trial) + 0.0 * number)
    running = []
    for _ in range(4):
        trial = study.ask()
        valley(trial)
        running.append([trial.params["x"], trial.params["y"]])
    distances = [np.hypot(*np.subtract(a, b)) for i, a in enumerate(running) for b in running[:i]]
    assert min(distances) > 0.02


def test_it_learns_from_trials_that_were_stopped() -> None:
    """All but one were stopped, and those stopped in one half of the space are bad."""
    asked, study = study_of(12, num_startup_trials=1)
    study.enqueue_trial({"x": 0.9})
    trial = study.ask()
    trial.suggest_float("x", -1, 1)
    for samples in asked.evaluations:
        trial.report(1.0 + 1 - samples / 800, samples)
    study.tell(trial, 1.0)
    for x in (-0.9, -0.5, -0.1, 0.2, 0.5):
        study.enqueue_trial({"x": x})
        trial = study.ask()
        trial.suggest_float("x", -1, 1)
        trial.report(1.8 + x, 100)
        study.tell(trial, state=TrialState.PRUNED)
    trial = study.ask()
    assert trial.suggest_float("x", -1, 1) < -0.3


def test_a_new_parameter_is_drawn_alone() -> None:
    _, study = study_of(12, num_startup_trials=1)
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    trial = study.ask()
    assert 0 <= trial.suggest_float("x", 0, 1) <= 1
    assert 5 <= trial.suggest_int("new", 5, 9) <= 9


@pytest.mark.parametrize("changes", [{"also": {"other": "min"}}, {"at_most": {"cost/num_parameters": 9.0}}])
def test_with_objectives_or_bounds_it_is_the_other_process(changes: dict[str, Any]) -> None:
    plain = Study(metric="loss", mode="min", samples=800, sampler="curves")
    asked = plain.vary(**changes)
    kinds = [type(make_sampler(each)._make(0)._inner._first).__name__ for each in (asked, plain)]  # type: ignore[attr-defined]
    assert kinds == ["ExpectedEndsSampler", "CurveSampler"]
