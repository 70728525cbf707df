"""A study of the toy family that starts from the best trial of another one."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse", mode="min", samples=128, num_trials=3, num_evaluations=2, scheduler="none", num_lanes=1
)


def space(trial: Trial) -> Toy:
    """Does a second training find more?"""
    return Toy(
        starts_from=("toys",),
        seed=trial.suggest_int("seed", 1, 100),
        optimization=Optimization(lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True), batch_size=8),
    )
