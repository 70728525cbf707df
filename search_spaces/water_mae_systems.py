"""The published model on GPUs, a grid: number format, ZeRO stage and samples of a forward pass.

What is asked is the cost, and whether it is paid in skill: `thalweg show water_mae_systems --by precision` shows
seconds and memory beside it, `--by zero_stage` and `--by micro_batch_size` too. Stages shard over workers: add
`--workers`.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

PRECISIONS = ["fp32", "bf16", "fp16"]
ZERO_STAGES = [0, 1, 2, 3]
MICRO_BATCH_SIZES = [4, 8, 16]

GRID = tuple(
    {"precision": precision, "zero_stage": stage, "micro_batch_size": size}
    for precision, stage, size in product(PRECISIONS, ZERO_STAGES, MICRO_BATCH_SIZES)
)

study = Study(
    metric="skill",
    mode="max",
    samples=512,
    num_trials=len(GRID),
    num_evaluations=1,
    sampler="random",
    scheduler="none",
    gpus_per_worker=1.0,
    first_trials=GRID,
    keep_checkpoints=0,
)


def space(trial: Trial) -> WaterMAE:
    """What do precision, ZeRO stage and micro-batches cost in time and memory, and do they cost skill?"""
    base = PRESETS["reference"]
    knobs = {
        "precision": trial.suggest_categorical("precision", PRECISIONS),
        "zero_stage": trial.suggest_categorical("zero_stage", ZERO_STAGES),
        "micro_batch_size": trial.suggest_categorical("micro_batch_size", MICRO_BATCH_SIZES),
    }
    return base.model_copy(update={"optimization": base.optimization.model_copy(update=knobs)})
