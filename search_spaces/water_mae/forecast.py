"""Which masks and learning rate teach encoders most about the river flow of the next 1, 3 and 7 days?

Great Britain: pre-training is judged by what frozen encoders know of the river flow to come. Before the last quarter
the head repeats the last day in every trial, so there is nothing to stop trials by.
"""

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

study = Study(
    metric="nse_forecast",
    mode="max",
    samples=4096,
    num_trials=16,
    num_evaluations=4,
    scheduler="none",
    seed=1,
)


def space(trial: Trial) -> WaterMAE:
    return PRESETS["gb_small"].vary(
        data={"sequence_length": 8},
        masking={
            "image_mask_ratio": trial.suggest_float("image_mask_ratio", 0.15, 0.85),
            "vector_mask_ratio": trial.suggest_float("vector_mask_ratio", 0.15, 0.85),
        },
        optimization={"lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True)},
        forecast={"share": 0.25, "lr_scale": trial.suggest_float("head_lr_scale", 0.3, 10.0, log=True)},
    )
