"""Pools or strided convolutions wherever camera and LiDAR meet, a grid on the tiny synthetic scenes.

`thalweg show rgb_lidar_downsampling --by meeting --by downsampling` gives mean and spread of each cell over the rates.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

MEETINGS = {
    "late concat": ("late", "concat"),
    "intermediate concat": ("intermediate", "concat"),
    "intermediate add": ("intermediate", "add"),
    "intermediate hadamard": ("intermediate", "hadamard"),
    "intermediate matmul": ("intermediate", "matmul"),
}
DOWNSAMPLING = ["maxpool", "avgpool", "strided_extra", "strided_replace"]
RATES = [1e-3, 4e-3]

GRID = tuple(
    {"meeting": meeting, "downsampling": downsampling, "lr": lr}
    for lr, meeting, downsampling in product(RATES, MEETINGS, DOWNSAMPLING)
)

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=4480,
    num_trials=len(GRID),
    num_evaluations=4,
    sampler="random",
    scheduler="none",
    first_trials=GRID,
    keep_checkpoints=1,
)


def space(trial: Trial) -> RGBLidar:
    """Do maps lose less in a pool or in a strided convolution, and is it the same wherever modalities meet?"""
    base = PRESETS["tiny"]
    stage, fusion = MEETINGS[trial.suggest_categorical("meeting", list(MEETINGS))]
    downsampling = trial.suggest_categorical("downsampling", DOWNSAMPLING)
    optimization = base.optimization.model_copy(update={"lr": trial.suggest_categorical("lr", RATES)})
    model = base.model.model_copy(
        update={"fusion_stage": stage, "fusion": fusion, "downsampling": downsampling}
    )
    return base.model_copy(update={"model": model, "optimization": optimization})
