"""The three published experiments on Great Britain, a grid: ratios, weights, rates and windows as they were published.

They differ in budget too, and a study has one: here each sees ten passes over the 401 windows at stride 20. With the
published budgets: `thalweg train water_mae_published --param preset=exp1 --samples 200150`, and 4010 samples for the
other two. The published precision is fp16, which needs a GPU.
"""

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

SAMPLES = {"reference": 10 * 401, "exp1": 50 * 4_003, "exp2": 10 * 401}
"""Published budgets: epochs times the windows of 1989 to 2010, at stride 20 or, in exp1, at stride 2."""

GRID = tuple({"preset": preset} for preset in SAMPLES)

study = Study(
    metric="skill",
    mode="max",
    samples=SAMPLES["reference"],
    num_trials=len(GRID),
    num_evaluations=10,
    sampler="random",
    scheduler="none",
    gpus_per_worker=1.0,
    first_trials=GRID,
)


def space(trial: Trial) -> WaterMAE:
    """Which published experiment reconstructs Great Britain's water best after equally many samples?"""
    config: WaterMAE = PRESETS[trial.suggest_categorical("preset", list(SAMPLES))]
    return config
