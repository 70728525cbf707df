"""Long trials of the toy family, as many lanes of which fit on a processor as are asked for."""

from families.toy.config import Toy
from thalweg.config import Optimization

try:
    from thalweg.study import Study, Trial
except ModuleNotFoundError:  # a checkout of a build that has them elsewhere
    from thalweg.search.space import Trial  # type: ignore[attr-defined]
    from thalweg.search.study import Study  # type: ignore[import-not-found,no-redef]

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
