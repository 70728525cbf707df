"""Great Britain: what the training loss should weigh, normalise and contrast."""

from typing import Any

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, DataKnobs, LossKnobs, LossWeights, WaterMAE

MODALITIES = ("precipitation", "soil_moisture", "temperature", "evaporation")
LR = 0.0013
"""The rate of the best trials of `water_mae_masking`, around which this study searches."""


def _first(*weights: float, norm_target: bool = False, contrastive_weight: float = 0.0) -> dict[str, Any]:
    params = {f"weight_{name}": weight for name, weight in zip(MODALITIES, weights, strict=True)}
    params |= {"norm_target": norm_target, "contrastive": contrastive_weight > 0, "lr": LR}
    if contrastive_weight:
        params |= {"contrastive_weight": contrastive_weight, "contrastive_temperature": 0.05}
    return params


# The published weights beside equal ones, then what may be added, one at a time; the term is CAV-MAE's.
FIRST = (
    _first(100.0, 10.0, 10.0, 1.0),
    _first(1.0, 1.0, 1.0, 1.0),
    _first(1.0, 1.0, 1.0, 1.0, norm_target=True),
    _first(1.0, 1.0, 1.0, 1.0, contrastive_weight=0.01),
)

study = Study(
    metric="skill",
    mode="max",
    samples=4096,
    num_trials=24,
    num_evaluations=8,
    seed=1,
    first_trials=FIRST,
)


def space(trial: Trial) -> WaterMAE:
    """Which weights of the modalities are best, and do normalised targets or a contrastive term help?"""
    base = PRESETS["small"]
    asked = {name: trial.suggest_float(f"weight_{name}", 0.1, 300.0, log=True) for name in MODALITIES}
    weights = LossWeights(**asked, river_flow=1.0)  # only the ratios matter
    loss = LossKnobs(norm_target=trial.suggest_categorical("norm_target", [False, True]))
    if trial.suggest_categorical("contrastive", [False, True]):
        loss = LossKnobs(
            norm_target=loss.norm_target,
            contrastive_weight=trial.suggest_float("contrastive_weight", 1e-3, 0.1, log=True),
            contrastive_temperature=trial.suggest_float("contrastive_temperature", 0.03, 0.2, log=True),
        )
    lr = trial.suggest_float("lr", LR / 2, LR * 2, log=True)
    return base.model_copy(
        update={
            "dataset": "gb-hydrology",
            "data": DataKnobs(sequence_length=4, stride=4, evaluation_stride=4),
            "loss_weights": weights,
            "loss": loss,
            "optimization": base.optimization.model_copy(update={"lr": lr, "batch_size": 4}),
        }
    )
