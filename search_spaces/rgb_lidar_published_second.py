"""The second published comparison and ablation, a grid of 8 trials: four models with a pool or a further convolution.

Adam at a constant 1e-4 in batches of 32 for 20 epochs, on the default scenes: 20 times their 2,800 for training. For
the real ones copy this file and set ``DATASET`` to ``"cubes-spheres"`` and ``NUM_SCENES`` to 14,000, 70 % of them.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

DATASET = "default"
NUM_SCENES = 2800
NUM_EPOCHS = 20

FUSIONS = ["second_late", "second_concat", "second_add", "second_matmul"]
DOWNSAMPLING = ["maxpool", "strided_extra"]

GRID = tuple(
    {"fusion": fusion, "downsampling": downsampling}
    for fusion, downsampling in product(FUSIONS, DOWNSAMPLING)
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
    """Which of the four models is best, and does a further strided convolution help it?"""
    base = PRESETS[trial.suggest_categorical("fusion", FUSIONS)]
    downsampling = trial.suggest_categorical("downsampling", DOWNSAMPLING)
    model = base.model.model_copy(update={"downsampling": downsampling})
    return base.model_copy(update={"dataset": DATASET, "model": model})
