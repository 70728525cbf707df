"""Does a strided convolution beat a pool, or do rate and schedule decide?

The published ablation, a grid of 16 cells: two fusions, pool or extra convolution, two rates and schedules. A cell is
600 steps of 32 scenes as in the original, which saw a tenth of each of ten epochs. On the default scenes;
`thalweg show rgb_lidar_ablation --by fusion --by downsampling` compares the cells.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

GRID = grid(
    fusion={"late": "first_late", "multiply": "first_hadamard"},
    downsampling=["maxpool", "strided_extra"],
    lr=[1e-4, 1e-5],
    lr_schedule=["cosine", "constant"],
)

study = Study(
    metric="cross_entropy", mode="min", samples=19200, num_evaluations=10, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    return PRESETS[cell["fusion"]].vary(
        dataset="default",
        model={"downsampling": cell["downsampling"]},
        optimization={"lr": cell["lr"], "lr_schedule": cell["lr_schedule"]},
    )
