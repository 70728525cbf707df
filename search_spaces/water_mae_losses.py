"""Great Britain: what the training loss should weigh, normalise and contrast."""

from thalweg.search.space import Trial
from thalweg.search.study import Study
from trainables.water_mae.config import PRESETS, DataKnobs, LossKnobs, LossWeights, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1)


def space(trial: Trial) -> WaterMAE:
    """Which weights of the modalities are best, and do normalised targets or a contrastive term help?"""
    base = PRESETS["small"]
    weights = LossWeights(
        precipitation=trial.suggest_float("weight_precipitation", 0.1, 300.0, log=True),
        soil_moisture=trial.suggest_float("weight_soil_moisture", 0.1, 300.0, log=True),
        temperature=trial.suggest_float("weight_temperature", 0.1, 300.0, log=True),
        evaporation=trial.suggest_float("weight_evaporation", 0.1, 300.0, log=True),
        river_flow=1.0,  # only the ratios matter
    )
    loss = LossKnobs(norm_target=trial.suggest_categorical("norm_target", [False, True]))
    if trial.suggest_categorical("contrastive", [False, True]):
        loss = LossKnobs(
            norm_target=loss.norm_target,
            contrastive_weight=trial.suggest_float("contrastive_weight", 1e-3, 0.1, log=True),
            contrastive_temperature=trial.suggest_float("contrastive_temperature", 0.03, 0.2, log=True),
        )
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return base.model_copy(
        update={
            "dataset": "gb-hydrology",
            "data": DataKnobs(sequence_length=4, stride=4, evaluation_stride=4),
            "loss_weights": weights,
            "loss": loss,
            "optimization": base.optimization.model_copy(update={"lr": lr, "batch_size": 4}),
        }
    )
