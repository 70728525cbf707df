"""A population of the toy: learning rate and a loss weight may change while it trains, its width may not."""

from families.toy.config import Toy
from thalweg.study import Population, Study, Trial

study = Study(
    metric="mse",
    mode="min",
    samples=256,
    num_evaluations=4,
    population=Population(size=4, resample=0.0),
    num_lanes=2,
    keep_checkpoints=1,
    seed=3,
)


def space(trial: Trial) -> Toy:
    """Lets four networks learn from one another."""
    return Toy(
        width=trial.suggest_int("width", 6, 12),
        loss_weights={"first": trial.suggest_float("first", 0.5, 2.0, log=True)},
        optimization={"lr": trial.suggest_float("lr", 1e-3, 5e-2, log=True), "batch_size": 8},
    )
