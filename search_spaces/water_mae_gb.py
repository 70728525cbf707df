"""Great Britain, 2001 to 2013: the quickstart's question on real river flow and gridded weather.

The bar is high: on validation, plain interpolation has a skill of .909 and a ridge regression on what is visible around
.936. A trial has found something where its marks beside the best baseline are `+`.
"""

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, DataKnobs, LossWeights, MaskingKnobs, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1)


def space(trial: Trial) -> WaterMAE:
    """Which masks, loss weights, learning rate and batch size reconstruct Great Britain's water best?"""
    base = PRESETS["small"]
    masking = MaskingKnobs(
        image_mask_ratio=trial.suggest_float("image_mask_ratio", 0.15, 0.85),
        vector_mask_ratio=trial.suggest_float("vector_mask_ratio", 0.15, 0.85),
    )
    weights = LossWeights(
        precipitation=trial.suggest_float("weight_precipitation", 0.1, 30.0, log=True),
        soil_moisture=trial.suggest_float("weight_soil_moisture", 0.1, 30.0, log=True),
        temperature=trial.suggest_float("weight_temperature", 0.1, 30.0, log=True),
        evaporation=trial.suggest_float("weight_evaporation", 0.1, 30.0, log=True),
        river_flow=1.0,  # only the ratios matter
    )
    optimization = base.optimization.model_copy(
        update={
            "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [4, 8, 16]),
        }
    )
    return base.model_copy(
        update={
            "dataset": "gb-hydrology",
            "data": DataKnobs(sequence_length=4, stride=4, evaluation_stride=4),
            "masking": masking,
            "loss_weights": weights,
            "optimization": optimization,
        }
    )
