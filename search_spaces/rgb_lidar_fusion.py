"""Where and how camera and LiDAR should meet, on the tiny synthetic scenes."""

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

# Trials are judged late: they leave the plateau of chance after about two epochs, before that all look alike.
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
    """Which fusion tells cubes from spheres best, of embeddings or of maps, at its own learning rate and batch?"""
    base = PRESETS["tiny"]
    stage = trial.suggest_categorical("fusion_stage", ["late", "intermediate"])
    if stage == "late":
        fusion = trial.suggest_categorical("late_fusion", ANYWHERE)
        meeting = {
            "fusion": fusion,
            "normalize_embeddings": trial.suggest_categorical("normalize_embeddings", [False, True]),
        }
    else:
        fusion = trial.suggest_categorical("intermediate_fusion", ANYWHERE + MAPS_ONLY)
        meeting = {"fusion": fusion, "fused_depth": trial.suggest_int("fused_depth", 0, 1)}
    optimization = base.optimization.model_copy(
        update={
            "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [8, 16, 32]),
        }
    )
    model = base.model.model_copy(update={"fusion_stage": stage, **meeting})
    return base.model_copy(update={"model": model, "optimization": optimization})
