"""The space of a study that an earlier version began; see tests/fixtures/earlier."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(metric="mse", mode="min", samples=64, num_trials=4, num_evaluations=2, num_lanes=1, seed=5)


def space(trial: Trial) -> Toy:
    """Which width fits two waves best?"""
    width = trial.suggest_int("width", 2, 8)
    lr = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
    return Toy(width=width, optimization=Optimization(lr=lr, batch_size=8))
