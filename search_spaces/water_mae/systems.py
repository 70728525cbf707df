"""What do precision, ZeRO stage and micro-batches cost in time and memory, and do they cost skill?

The published model on GPUs, a grid: number format, ZeRO stage and samples of a forward pass.
`thalweg show water_mae_systems --by precision` shows seconds and memory beside the skill, `--by zero_stage` and
`--by micro_batch_size` too. Stages shard over workers: add `--workers`.
"""

from thalweg.study import Study, Trial, grid
from trainables.water_mae.config import PRESETS, WaterMAE

GRID = grid(precision=["fp32", "bf16", "fp16"], zero_stage=[0, 1, 2, 3], micro_batch_size=[4, 8, 16])

study = Study(
    metric="skill",
    mode="max",
    samples=512,
    num_evaluations=1,
    grid=GRID,
    gpus_per_worker=1.0,
    keep_checkpoints=0,
)


def space(trial: Trial) -> WaterMAE:
    return PRESETS["reference"].vary(optimization=GRID.ask(trial))
