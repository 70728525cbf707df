"""Does a strided convolution need more scenes than a pool?

A grid of both at five sizes of the training split, three seeds each. The smallest, 28 scenes, fills a batch of 16.
`thalweg show rgb_lidar_data_fraction --by data_fraction --by downsampling` gives mean and spread of each cell.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

GRID = grid(
    data_fraction=[0.01, 0.03, 0.1, 0.3, 1.0],
    downsampling=["maxpool", "strided_extra", "strided_replace"],
    seeds=3,
)

study = Study(
    metric="cross_entropy", mode="min", samples=11200, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    return PRESETS["small"].vary(
        seed=cell["seed"],
        data={"data_fraction": cell["data_fraction"]},
        model={"downsampling": cell["downsampling"]},
    )
