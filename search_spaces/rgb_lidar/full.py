"""Which inputs, meeting, widths, regularisation and schedule tell cubes from spheres best?

Everything that a fusion of camera and LiDAR can be varied in, on the default synthetic scenes. Where maps meet is
searched at a fixed number of blocks: those before the meeting are each modality's own, those after it are shared.
Evaluation and metrics are the same whatever a trial reads of a scene.
"""

from typing import Any

from thalweg.knobs.subspaces import optimizer
from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=22400,
    num_trials=96,
    num_evaluations=8,
    min_samples=8400,
    seed=1,
)

NUM_BLOCKS = 3
MAX_MICRO_BATCH = 64
ANYWHERE = ["add", "attention", "concat", "gated", "hadamard"]
MAPS_ONLY = ["matmul"]
DOWNSAMPLING = ["maxpool", "avgpool", "strided_extra", "strided_replace"]


def space(trial: Trial) -> RGBLidar:
    return PRESETS["small"].vary(
        data={
            "rgb_channels": trial.suggest_categorical("rgb_channels", [3, 4]),
            "lidar_repr": trial.suggest_categorical("lidar_repr", ["depth", "xyza"]),
            "lidar_norm": trial.suggest_categorical("lidar_norm", ["raw", "masked", "scaled"]),
        },
        model=_sizes(trial) | _meeting(trial),
        optimization=optimizer(
            trial,
            batch_size=[16, 32, 64, 128, 256],
            lr_schedule=["cosine", "constant"],
            lr=(1e-5, 3e-3),
            warmup_ratio=(0, 0.2),
            weight_decay=(1e-6, 1e-2),
            max_micro_batch=MAX_MICRO_BATCH,
        ),
    )


def _sizes(trial: Trial) -> dict[str, Any]:
    channels = trial.suggest_categorical("channels", [8, 16, 25, 32, 50])
    has_hidden = trial.suggest_categorical("has_hidden", [False, True])
    return {
        "downsampling": trial.suggest_categorical("downsampling", DOWNSAMPLING),
        "channels": channels,
        "max_channels": 4 * channels,
        "hidden_dim": trial.suggest_int("hidden_dim", 128, 1024, log=True) if has_hidden else 0,
        "neck_dim": trial.suggest_int("neck_dim", 32, 256, log=True),
        "dropout": trial.suggest_float("dropout", 0, 0.5),
    }


def _meeting(trial: Trial) -> dict[str, Any]:
    stage = trial.suggest_categorical("fusion_stage", ["late", "intermediate"])
    if stage == "late":
        return {
            "fusion_stage": stage,
            "fusion": trial.suggest_categorical("late_fusion", ANYWHERE),
            "depth": NUM_BLOCKS,
            "fused_depth": 0,
            "normalize_embeddings": trial.suggest_categorical("normalize_embeddings", [False, True]),
            "embedding_dim": trial.suggest_categorical("embedding_dim", [64, 100, 128, 200, 256, 512]),
            "head_dim": trial.suggest_categorical("head_dim", [32, 64, 128]),
        }
    before = trial.suggest_int("blocks_before_meeting", 1, NUM_BLOCKS)
    fusion = trial.suggest_categorical("intermediate_fusion", ANYWHERE + MAPS_ONLY)
    return {"fusion_stage": stage, "fusion": fusion, "depth": before, "fused_depth": NUM_BLOCKS - before}
