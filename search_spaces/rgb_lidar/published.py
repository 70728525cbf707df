"""Which of the four fusions is best at its rate and schedule, and what do they cost?

The first published comparison, a grid of 24 trials: four fusions, three rates, two schedules, in 15 epochs. It runs on
the default scenes: 15 times their 2,800 for training. For the real ones copy this file and set ``DATASET`` to
``"cubes-spheres"`` and ``NUM_SCENES`` to 14,000, 70 % of them. The models have 7 to 13 million parameters: a study for
a GPU.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

DATASET = "default"
NUM_SCENES = 2800
NUM_EPOCHS = 15

GRID = grid(
    fusion=["first_late", "first_concat", "first_add", "first_hadamard"],
    lr=[1e-4, 1e-5, 1e-6],
    lr_schedule=["cosine", "constant"],
)

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=NUM_EPOCHS * NUM_SCENES,
    num_evaluations=NUM_EPOCHS,
    grid=GRID,
    keep_checkpoints=1,
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    optimization = {"lr": cell["lr"], "lr_schedule": cell["lr_schedule"]}
    return PRESETS[cell["fusion"]].vary(dataset=DATASET, optimization=optimization)
