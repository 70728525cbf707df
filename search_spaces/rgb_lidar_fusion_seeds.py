"""Every fusion with five seeds, at equal size: whether fusions differ by more than chance. No parameter is tuned."""

from itertools import product

from thalweg.search.space import Trial
from thalweg.search.study import Study
from trainables.rgb_lidar.config import PRESETS, RGBLidar

LATE = ["add", "attention", "concat", "gated", "hadamard"]
INTERMEDIATE = [*LATE, "matmul"]
FUSIONS = [f"late {name}" for name in LATE] + [f"intermediate {name}" for name in INTERMEDIATE]
SEEDS = [0, 1, 2, 3, 4]

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=5600,
    num_trials=len(FUSIONS) * len(SEEDS),
    num_evaluations=2,
    scheduler="none",  # a stopped trial has no value to take a mean of
    first_trials=tuple({"fusion": fusion, "seed": seed} for seed, fusion in product(SEEDS, FUSIONS)),
)


def space(trial: Trial) -> RGBLidar:
    """Do fusions of equal size differ by more than their seeds do?"""
    base = PRESETS["small"]
    stage, fusion = trial.suggest_categorical("fusion", FUSIONS).split()
    model = base.model.model_copy(update={"fusion_stage": stage, "fusion": fusion, "num_parameters": 600_000})
    optimization = base.optimization.model_copy(update={"lr_schedule": "cosine"})
    seed = trial.suggest_categorical("seed", SEEDS)
    return base.model_copy(update={"model": model, "optimization": optimization, "seed": seed})
