"""Does it pay to give each sensor an encoder of its own, or may one read the pixels of both?

Early, intermediate and late fusion by concatenation, all of 600,000 parameters, five seeds at each of two rates, on the
default scenes. `thalweg show rgb_lidar_early --by fusion --by lr` gives mean and spread of each.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

NUM_PARAMETERS = 600_000
GRID = grid(lr=[1e-3, 3e-3], fusion=["early", "intermediate", "late"], seeds=5)

study = Study(
    metric="cross_entropy", mode="min", samples=11200, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    return PRESETS["small"].vary(
        seed=cell["seed"],
        model={"fusion_stage": cell["fusion"], "fusion": "concat", "num_parameters": NUM_PARAMETERS},
        optimization={"lr": cell["lr"], "lr_schedule": "cosine"},
    )
