"""Which masks, loss weights, learning rate and batch size reconstruct hidden weather and rivers best?

First steps: a tiny model on a synthetic island, in minutes. Of the loss weights only the ratios matter.
"""

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

WEIGHED = ("precipitation", "soil_moisture", "temperature", "evaporation")  # against a river flow of 1
PRESET = {"image_mask_ratio": 0.4, "vector_mask_ratio": 0.4, "lr": 0.003, "batch_size": 8}
PRESET |= {f"weight_{name}": 1.0 for name in WEIGHED}

study = Study(
    metric="skill", mode="max", samples=4096, num_trials=18, num_evaluations=8, first_trials=(PRESET,), seed=1
)


def space(trial: Trial) -> WaterMAE:
    return PRESETS["tiny"].vary(
        masking={
            "image_mask_ratio": trial.suggest_float("image_mask_ratio", 0.15, 0.85),
            "vector_mask_ratio": trial.suggest_float("vector_mask_ratio", 0.15, 0.85),
        },
        loss_weights={name: trial.suggest_float(f"weight_{name}", 0.1, 10.0, log=True) for name in WEIGHED},
        optimization={
            "lr": trial.suggest_float("lr", 3e-4, 3e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [4, 8, 16, 32]),
        },
    )
