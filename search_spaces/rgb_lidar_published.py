"""The first published comparison, a grid of 24 trials: four fusions, three rates, two schedules, in 15 epochs.

It runs on the default scenes: 15 times their 2,800 for training. For the real ones copy this file and set ``DATASET``
to ``"cubes-spheres"`` and ``NUM_SCENES`` to 14,000, 70 % of them. The models have 7 to 13 million parameters: a study
for a GPU.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

DATASET = "default"
NUM_SCENES = 2800
NUM_EPOCHS = 15

FUSIONS = ["first_late", "first_concat", "first_add", "first_hadamard"]
RATES = [1e-4, 1e-5, 1e-6]
SCHEDULES = ["cosine", "constant"]

GRID = tuple(
    {"fusion": fusion, "lr": lr, "lr_schedule": schedule}
    for fusion, lr, schedule in product(FUSIONS, RATES, SCHEDULES)
)

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=NUM_EPOCHS * NUM_SCENES,
    num_trials=len(GRID),
    num_evaluations=NUM_EPOCHS,
    sampler="random",
    scheduler="none",
    first_trials=GRID,
    keep_checkpoints=1,
)


def space(trial: Trial) -> RGBLidar:
    """Which of the four fusions is best at its rate and schedule, and what do they cost?"""
    base = PRESETS[trial.suggest_categorical("fusion", FUSIONS)]
    optimization = base.optimization.model_copy(
        update={
            "lr": trial.suggest_categorical("lr", RATES),
            "lr_schedule": trial.suggest_categorical("lr_schedule", SCHEDULES),
        }
    )
    return base.model_copy(update={"dataset": DATASET, "optimization": optimization})
