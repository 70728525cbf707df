"""From embeddings of images to a classifier that learnt from scans, beginning with the best of `rgb_lidar_cilp`.

No trial is stopped early: before the projector is trained, its cross-entropy says nothing about it.
"""

from thalweg.study import Study, Trial
from trainables.rgb_lidar.chain_knobs import ChainKnobs
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
    """Which projector, target and loss turn images into what a classifier of scans understands?"""
    base = PRESETS["tiny_chain"]
    assert isinstance(base.model, ChainKnobs)
    projector = base.model.projector.model_copy(
        update={
            "hidden_dim": trial.suggest_categorical("hidden_dim", [64, 128, 256, 512]),
            "depth": trial.suggest_int("depth", 1, 3),
            "target": trial.suggest_categorical("target", ["penultimate", "maps"]),
            "loss": trial.suggest_categorical("loss", ["mse", "cosine", "smooth_l1"]),
        }
    )
    lr_scales = base.model.lr_scales.model_copy(
        update={
            "projector": trial.suggest_float("projector_lr_scale", 0.1, 3, log=True),
            "finetune": trial.suggest_float("finetune_lr_scale", 0.03, 1, log=True),
        }
    )
    model = base.model.model_copy(
        update={
            "stages": ("classifier", "projector", "finetune"),
            "projector": projector,
            "lr_scales": lr_scales,
            "finetune_frozen": trial.suggest_categorical("frozen", ["nothing", "rgb", "rgb_and_head"]),
        }
    )
    return base.model_copy(update={"model": model, "starts_from": ("rgb_lidar_cilp",)})
