"""A study of the toy family whose trials end in every way that needs no lane to die."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

TROUBLES = ("none", "nan", "memory", "bug", "file", "little memory")

study = Study(
    sampler="random",
    scheduler="successive_halving",
    metric="mse",
    mode="min",
    samples=128,
    num_trials=len(TROUBLES) + 1,
    num_evaluations=2,
    reduction_factor=2,
    num_lanes=1,
    first_trials=tuple({"trouble": name, "lr": 1e-2 if name == "none" else 1e-12} for name in TROUBLES),
)


def space(trial: Trial) -> Toy:
    """How does a trial end that fits no more?"""
    trouble = trial.suggest_categorical("trouble", TROUBLES)
    lr = trial.suggest_float("lr", 1e-12, 1e-2, log=True)
    if trouble != "none" and 1e-12 < lr < 1e-2:  # as none of the first trials
        raise ValueError("no sensor is as good")
    return Toy(
        breaks_at=0 if trouble == "nan" else -1,
        fails_at=0 if trouble == "bug" else -1,
        fits={"memory": 0, "little memory": 4}.get(trouble, -1),
        reads="inputs.npy" if trouble == "file" else "",
        optimization=Optimization(lr=lr, batch_size=8),
    )
