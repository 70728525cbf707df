"""Which of the four models is best, and does a further strided convolution help it?

The second published comparison and ablation, a grid of 8 trials: Adam at a constant 1e-4 in batches of 32 for 20
epochs, on the default scenes: 20 times their 2,800 for training. For the real ones copy this file and set ``DATASET``
to ``"cubes-spheres"`` and ``NUM_SCENES`` to 14,000, 70 % of them.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

DATASET = "default"
NUM_SCENES = 2800
NUM_EPOCHS = 20

GRID = grid(
    fusion=["second_late", "second_concat", "second_add", "second_matmul"],
    downsampling=["maxpool", "strided_extra"],
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
    return PRESETS[cell["fusion"]].vary(dataset=DATASET, model={"downsampling": cell["downsampling"]})
