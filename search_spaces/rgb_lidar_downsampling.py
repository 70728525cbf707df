"""Pools or strided convolutions, for the two fusions of the published ablation, on the tiny synthetic scenes."""

from thalweg.search.space import Trial
from thalweg.search.study import Study
from trainables.rgb_lidar.config import PRESETS, RGBLidar

study = Study(metric="cross_entropy", mode="min", samples=4480, num_trials=24, num_evaluations=8, seed=1)

MEETINGS = {"late": "concat", "intermediate": "hadamard"}


def space(trial: Trial) -> RGBLidar:
    """Do maps lose less in a pool or in a strided convolution, at the learning rate and schedule that suit each?"""
    base = PRESETS["tiny"]
    stage = trial.suggest_categorical("fusion_stage", list(MEETINGS))
    downsampling = trial.suggest_categorical(
        "downsampling", ["maxpool", "avgpool", "strided_extra", "strided_replace"]
    )
    schedule = trial.suggest_categorical("lr_schedule", ["cosine", "constant"])
    optimization = base.optimization.model_copy(
        update={"lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True), "lr_schedule": schedule}
    )
    model = base.model.model_copy(
        update={"fusion_stage": stage, "fusion": MEETINGS[stage], "downsampling": downsampling}
    )
    return base.model_copy(update={"model": model, "optimization": optimization})
