"""A study of the toy family in which trials complete, are pruned, and fail in every way."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse",
    mode="min",
    samples=256,
    num_trials=10,
    num_evaluations=4,
    reduction_factor=2,
    num_lanes=2,
    first_trials=(
        {"trouble": "none", "lr": 1e-2},
        {"trouble": "nan"},
        {"trouble": "bug"},
        {"trouble": "batch"},
    ),
)


def space(trial: Trial) -> Toy:
    """Which learning rate fits two waves best, whatever goes wrong?"""
    trouble = trial.suggest_categorical("trouble", ["none", "nan", "bug", "batch"])
    return Toy(
        width=trial.suggest_int("width", 4, 32, log=True),
        breaks_at=0 if trouble == "nan" else -1,
        fails_at=0 if trouble == "bug" else -1,
        optimization=Optimization(
            lr=trial.suggest_float("lr", 1e-4, 3e-2, log=True),
            batch_size=7 if trouble == "batch" else 8,
            warmup_ratio=0.1,
        ),
    )
