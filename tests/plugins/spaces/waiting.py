"""A study whose trial waits for ever in its last worker, in the folder that it runs in, unless `waited` is there."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse",
    mode="min",
    samples=128,
    num_evaluations=4,
    num_trials=1,
    num_workers=2,
    scheduler="none",
    first_trials=({"lr": 1e-2},),
)


def space(trial: Trial) -> Toy:
    """Does the number of a trial that two workers train depend on when it is trained?"""
    optimization = Optimization(lr=trial.suggest_float("lr", 1e-4, 3e-2, log=True), batch_size=8)
    return Toy(stuck="last_rank", once="waited", trouble_at=64, optimization=optimization)
