"""Which fusion tells cubes from spheres best, of embeddings or of maps, at its own learning rate and batch?

On the tiny synthetic scenes. Trials are judged late: they leave the plateau of chance after about two epochs, before
that all look alike.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=4480,
    num_trials=24,
    num_evaluations=8,
    min_samples=1680,
    seed=1,
)

ANYWHERE = ["add", "attention", "concat", "gated", "hadamard"]
MAPS_ONLY = ["matmul"]


def space(trial: Trial) -> RGBLidar:
    model: dict[str, Any] = {
        "fusion_stage": trial.suggest_categorical("fusion_stage", ["late", "intermediate"])
    }
    if model["fusion_stage"] == "late":
        model["fusion"] = trial.suggest_categorical("late_fusion", ANYWHERE)
        model["normalize_embeddings"] = trial.suggest_categorical("normalize_embeddings", [False, True])
    else:
        model["fusion"] = trial.suggest_categorical("intermediate_fusion", ANYWHERE + MAPS_ONLY)
        model["fused_depth"] = trial.suggest_int("fused_depth", 0, 1)
    optimization = {
        "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [8, 16, 32]),
    }
    return PRESETS["tiny"].vary(model=model, optimization=optimization)
