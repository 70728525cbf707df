"""The published ablation, a grid of 16 cells: two fusions, pool or extra convolution, two rates and schedules.

A cell is 600 steps of 32 scenes as in the original, which saw a tenth of each of ten epochs. On the default scenes;
`thalweg show rgb_lidar_ablation --by fusion --by downsampling` compares the cells.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

FUSIONS = {"late": "first_late", "multiply": "first_hadamard"}
DOWNSAMPLING = ["maxpool", "strided_extra"]
RATES = [1e-4, 1e-5]
SCHEDULES = ["cosine", "constant"]

GRID = tuple(
    {"fusion": fusion, "downsampling": downsampling, "lr": lr, "lr_schedule": schedule}
    for fusion, downsampling, lr, schedule in product(FUSIONS, DOWNSAMPLING, RATES, SCHEDULES)
)

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=19200,
    num_trials=len(GRID),
    num_evaluations=10,
    sampler="random",
    scheduler="none",
    first_trials=GRID,
    keep_checkpoints=1,
)


def space(trial: Trial) -> RGBLidar:
    """Does a strided convolution beat a pool, or do rate and schedule decide?"""
    base = PRESETS[FUSIONS[trial.suggest_categorical("fusion", list(FUSIONS))]]
    downsampling = trial.suggest_categorical("downsampling", DOWNSAMPLING)
    optimization = base.optimization.model_copy(
        update={
            "lr": trial.suggest_categorical("lr", RATES),
            "lr_schedule": trial.suggest_categorical("lr_schedule", SCHEDULES),
        }
    )
    model = base.model.model_copy(update={"downsampling": downsampling})
    return base.model_copy(update={"dataset": "default", "model": model, "optimization": optimization})
