"""Fewer scenes, a grid: pool or strided convolution at five sizes of the training split, with three seeds.

The smallest, 28 scenes, still fills a batch of 16.
`thalweg show rgb_lidar_data_fraction --by data_fraction --by downsampling` gives mean and spread of each cell.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

FRACTIONS = [0.01, 0.03, 0.1, 0.3, 1.0]
DOWNSAMPLING = ["maxpool", "strided_extra", "strided_replace"]
NUM_SEEDS = 3

GRID = tuple(
    {"data_fraction": fraction, "downsampling": downsampling, "seed": seed}
    for seed, fraction, downsampling in product(range(NUM_SEEDS), FRACTIONS, DOWNSAMPLING)
)

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=11200,
    num_trials=len(GRID),
    num_evaluations=4,
    sampler="random",
    scheduler="none",
    first_trials=GRID,
    keep_checkpoints=1,
)


def space(trial: Trial) -> RGBLidar:
    """Does a strided convolution need more scenes than a pool?"""
    base = PRESETS["small"]
    fraction = trial.suggest_categorical("data_fraction", FRACTIONS)
    downsampling = trial.suggest_categorical("downsampling", DOWNSAMPLING)
    return base.model_copy(
        update={
            "data": base.data.model_copy(update={"data_fraction": fraction}),
            "model": base.model.model_copy(update={"downsampling": downsampling}),
            "seed": trial.suggest_int("seed", 0, NUM_SEEDS - 1),
        }
    )
