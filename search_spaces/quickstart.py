"""First steps: masks, loss weights, learning rate and batch of a tiny model on a synthetic island, in minutes."""

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, LossWeights, MaskingKnobs, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=18, num_evaluations=8, seed=1)


def space(trial: Trial) -> WaterMAE:
    """Which masks, loss weights, learning rate and batch size reconstruct hidden weather and rivers best?"""
    base = PRESETS["tiny"]
    masking = MaskingKnobs(
        image_mask_ratio=trial.suggest_float("image_mask_ratio", 0.15, 0.85),
        vector_mask_ratio=trial.suggest_float("vector_mask_ratio", 0.15, 0.85),
    )
    weights = LossWeights(
        precipitation=trial.suggest_float("weight_precipitation", 0.1, 10.0, log=True),
        soil_moisture=trial.suggest_float("weight_soil_moisture", 0.1, 10.0, log=True),
        temperature=trial.suggest_float("weight_temperature", 0.1, 10.0, log=True),
        evaporation=trial.suggest_float("weight_evaporation", 0.1, 10.0, log=True),
        river_flow=1.0,  # only the ratios matter
    )
    optimization = base.optimization.model_copy(
        update={
            "lr": trial.suggest_float("lr", 3e-4, 3e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [4, 8, 16, 32]),
        }
    )
    return base.model_copy(update={"masking": masking, "loss_weights": weights, "optimization": optimization})
