"""The noise of evaluations near a rung, and trials that differ by no more than it."""

import math

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.search.store.early_stopping import SuccessiveHalving
from thalweg.search.store.learning.soft_ranking import margin, noise

POINTS = tuple(range(100, 1000, 100))


def trained(curve: dict[int, float]) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, intermediate_values=curve)


def curves(deviation: float, count: int, seed: int = 0) -> list[FrozenTrial]:
    """Curves that fall alike from different heights, with noise."""
    rng = np.random.default_rng(seed)
    return [
        trained(
            {
                samples: 50 / samples + float(height) + deviation * float(rng.standard_normal())
                for samples in POINTS
            }
        )
        for height in rng.normal(size=count)
    ]


@pytest.mark.parametrize("rung", [100, 300, 900])
def test_noise_is_told_from_height_and_common_curvature(rung: int) -> None:
    assert noise(curves(0.02, 400), rung) == pytest.approx(0.02, rel=0.15)
    assert noise(curves(0.0, 400), rung) == pytest.approx(0.0, abs=1e-12)
    assert margin(curves(0.02, 400), rung) == pytest.approx(0.02 * math.sqrt(2), rel=0.15)


def test_too_few_curves_show_no_noise() -> None:
    assert noise(curves(0.02, 2), 300) == 0.0
    assert noise(curves(0.02, 3), 300) > 0.0
    cut = [trained(dict(list(t.intermediate_values.items())[:2])) for t in curves(0.02, 50)]
    assert noise(cut, 100) == 0.0  # neighbours on one side only say nothing of a bend


def test_a_trial_that_is_worse_by_less_than_the_noise_is_not_stopped() -> None:
    ended = curves(0.02, 30)
    best = min(trial.intermediate_values[300] for trial in ended)
    for soft, behind, stops in [(False, 0.001, True), (True, 0.001, False), (True, 0.2, True)]:
        study = optuna.create_study(pruner=SuccessiveHalving([300], 40, soft=soft))
        study.add_trials(ended)
        trial = study.ask()
        trial.report(best + behind, 300)
        assert trial.should_prune() == stops
