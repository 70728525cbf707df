"""Which masks, loss weights, learning rate and batch size reconstruct Great Britain's water best?

Great Britain, 2001 to 2013: the quickstart's question on real river flow and gridded weather. The bar is high: on
validation, plain interpolation has a skill of .909 and a ridge regression on what is visible around .936. A trial has
found something if its marks beside the best baseline are `+`.
"""

from thalweg.knobs.subspaces import masking
from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1)

WEIGHED = ("precipitation", "soil_moisture", "temperature", "evaporation")  # against a river flow of 1


def space(trial: Trial) -> WaterMAE:
    return PRESETS["gb_small"].vary(
        masking=masking(trial, low=0.15, high=0.85),
        loss_weights={name: trial.suggest_float(f"weight_{name}", 0.1, 30.0, log=True) for name in WEIGHED},
        optimization={
            "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [4, 8, 16]),
        },
    )
