"""Long trials of the toy family, as many lanes of which fit on a processor as are asked for."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse",
    mode="min",
    samples=4_000_000,
    num_evaluations=1000,
    scheduler="none",
    sampler="random",
    cpus_per_worker=0.1,
)


def space(trial: Trial) -> Toy:
    """Which learning rate is best does not matter here."""
    return Toy(
        optimization=Optimization(
            lr=trial.suggest_float("lr", 1e-3, 2e-3, log=True), batch_size=8, warmup_ratio=0.1
        )
    )
