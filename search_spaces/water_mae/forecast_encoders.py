"""Do encoders forecast river flow better if they are fine-tuned with the head than if they stay frozen?

A grid: a rate of 0 freezes them, the others are factors on the rate of pre-training. The trials of a seed share their
pre-training: `thalweg show water_mae_forecast_encoders --by encoder_lr_scale` gives mean and spread of each rate and
its difference within seeds, `--metric flood_csi_1d` that of another metric. Windows begin on every day, so that the
peaks of floods are measured.
"""

from thalweg.study import Study, Trial, grid
from trainables.water_mae.config import PRESETS, WaterMAE

GRID = grid(encoder_lr_scale=[0.0, 0.03, 0.1, 0.3, 1.0], seeds=3)

study = Study(
    metric="nse_forecast", mode="max", samples=4096, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> WaterMAE:
    cell = GRID.ask(trial)
    return PRESETS["gb_small"].vary(
        seed=cell["seed"],
        data={"sequence_length": 8, "evaluation_stride": 1},
        optimization={"lr": 2e-3},
        forecast={"share": 0.5, "encoder_lr_scale": cell["encoder_lr_scale"]},
    )
