"""Which projector, target and loss turn images into what a classifier of scans understands?

From embeddings of images to a classifier that learnt from scans, beginning with the best of `rgb_lidar_cilp`. No trial
is stopped early: before the projector is trained, its cross-entropy says nothing about it.
"""

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=11200,
    num_trials=24,
    num_evaluations=8,
    scheduler="none",
    seed=1,
)


def space(trial: Trial) -> RGBLidar:
    return PRESETS["tiny_chain"].vary(
        starts_from=("rgb_lidar_cilp",),
        model={
            "stages": ("classifier", "projector", "finetune"),
            "projector": {
                "hidden_dim": trial.suggest_categorical("hidden_dim", [64, 128, 256, 512]),
                "depth": trial.suggest_int("depth", 1, 3),
                "target": trial.suggest_categorical("target", ["penultimate", "maps"]),
                "loss": trial.suggest_categorical("loss", ["mse", "cosine", "smooth_l1"]),
            },
            "lr_scales": {
                "projector": trial.suggest_float("projector_lr_scale", 0.1, 3, log=True),
                "finetune": trial.suggest_float("finetune_lr_scale", 0.03, 1, log=True),
            },
            "finetune_frozen": trial.suggest_categorical("frozen", ["nothing", "rgb", "rgb_and_head"]),
        },
    )
