"""Trials that differ by no more than the noise of their evaluations, which shows where pairs cross to and fro."""

from itertools import combinations

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.search.store.early_stopping import make_pruner
from thalweg.search.store.learning.soft_ranking import margin
from thalweg.study import SchedulerName, Study

POINTS = tuple(range(100, 1000, 100))


def curves(deviation: float, count: int, seed: int = 0) -> list[FrozenTrial]:
    """Curves that fall at their own speeds from their own heights, many across others, with noise."""
    rng = np.random.default_rng(seed)
    return [
        create_trial(
            state=TrialState.PRUNED,
            intermediate_values={
                samples: float(height * np.exp(-speed * samples / 900) + deviation * rng.standard_normal())
                for samples in POINTS
            },
        )
        for height, speed in rng.uniform((0.5, 1.0), (2.0, 8.0), (count, 2))
    ]


def slow_margin(trials: list[FrozenTrial], rung: int) -> float:
    found = []
    for one, other in combinations(trials, 2):
        apart = [one.intermediate_values[point] - other.intermediate_values[point] for point in POINTS]
        for place in range(len(POINTS) - 2):
            first, second, third = apart[place : place + 3]
            if rung in POINTS[place : place + 3] and (first > 0) != (second > 0) != (third > 0):
                found.append(abs(third))
    return float(np.percentile(found, 90)) if found else 0.0


@pytest.mark.parametrize("rung", [100, 300, 900])
def test_noise_is_what_pairs_that_cross_to_and_fro_differ_by(rung: int) -> None:
    noisy = curves(0.05, 40)
    assert margin(noisy, rung) == pytest.approx(slow_margin(noisy, rung))
    assert 0.02 < margin(noisy, rung) < 0.2
    assert margin(curves(0.0, 40), rung) == 0.0  # they cross once at most


def test_no_margin_is_known_before_neighbours_were_evaluated() -> None:
    assert margin([], 100) == margin(curves(0.05, 1), 100) == 0.0
    short = [
        create_trial(state=TrialState.PRUNED, intermediate_values={100: value, 200: -value})
        for value in (0.0, 0.1)
    ]
    assert margin(short, 100) == 0.0


@pytest.mark.parametrize("scheduler", ["successive_halving", "promotion"])
def test_a_trial_that_is_worse_by_less_than_the_noise_is_not_stopped(scheduler: SchedulerName) -> None:
    ended = curves(0.05, 30)
    best = min(trial.intermediate_values[300] for trial in ended)
    budget = {"samples": 900, "num_evaluations": 9, "min_samples": 300, "reduction_factor": 16}
    asked = Study(metric="loss", mode="min", scheduler=scheduler, **budget)
    assert asked.rungs == (300,)
    for soft, behind, stops in [(False, 0.001, True), (True, 0.001, False), (True, 0.5, True)]:
        settings = asked.vary(soft_ranking=soft)
        study = optuna.create_study(pruner=make_pruner(settings))
        study.add_trials(ended)
        trial = study.ask()
        trial.report(best + behind, 300)
        assert trial.should_prune() == stops
