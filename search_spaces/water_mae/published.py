"""Which published experiment reconstructs Great Britain's water best after equally many samples?

A grid of the three: ratios, weights, rates and windows as they were published. They differ in budget too, and a study
has one: here each sees ten passes over the 401 windows at stride 20. With the published budgets, epochs times windows
of 1989 to 2010: `thalweg train water_mae_published --param preset=exp1 --samples 200150`, 50 times 4,003 at stride 2,
and 4010 samples for the other two. The published precision is fp16, which needs a GPU.
"""

from thalweg.study import Study, Trial, grid
from trainables.water_mae.config import PRESETS, WaterMAE

GRID = grid(preset=["reference", "exp1", "exp2"])

study = Study(
    metric="skill", mode="max", samples=10 * 401, num_evaluations=10, grid=GRID, gpus_per_worker=1.0
)


def space(trial: Trial) -> WaterMAE:
    return PRESETS[GRID.ask(trial)["preset"]]
