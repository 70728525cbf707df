"""The trials of ``trial_overhead.py`` as a search space: their number is the only thing that is asked."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse", mode="min", samples=32, num_evaluations=2, scheduler="none", sampler="random", num_lanes=1
)


def space(trial: Trial) -> Toy:
    """Which of many equal trials comes first?"""
    number = trial.suggest_int("number", 0, 1000)
    return Toy(optimization=Optimization(lr=1e-3 * (1 + number % 100), batch_size=8, warmup_ratio=0.1))
