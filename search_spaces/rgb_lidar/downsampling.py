"""Do maps lose less in a pool or in a strided convolution, and is it the same wherever modalities meet?

A grid on the tiny synthetic scenes.
`thalweg show rgb_lidar_downsampling --by meeting --by downsampling` gives mean and spread of each cell over the rates.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

LATE = ["late concat"]
MAPS = ["intermediate concat", "intermediate add", "intermediate hadamard", "intermediate matmul"]
GRID = grid(
    lr=[1e-3, 4e-3],
    meeting=LATE + MAPS,
    downsampling=["maxpool", "avgpool", "strided_extra", "strided_replace"],
)

study = Study(
    metric="cross_entropy", mode="min", samples=4480, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    stage, fusion = cell["meeting"].split()
    return PRESETS["tiny"].vary(
        model={"fusion_stage": stage, "fusion": fusion, "downsampling": cell["downsampling"]},
        optimization={"lr": cell["lr"]},
    )
