"""Which weights of the modalities are best, and do normalised targets or a contrastive term help?

Great Britain. First the published weights beside equal ones, then what may be added, one at a time; the term is
CAV-MAE's. The rate is searched around that of the best trials of `water_mae_masking`.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

MODALITIES = ("precipitation", "soil_moisture", "temperature", "evaporation")  # against a river flow of 1
LR = 0.0013


def _first(*weights: float, norm_target: bool = False, **contrastive: float) -> dict[str, Any]:
    params = {f"weight_{name}": weight for name, weight in zip(MODALITIES, weights, strict=True)}
    return {**params, "norm_target": norm_target, "contrastive": bool(contrastive), "lr": LR, **contrastive}


FIRST = (
    _first(100.0, 10.0, 10.0, 1.0),
    _first(1.0, 1.0, 1.0, 1.0),
    _first(1.0, 1.0, 1.0, 1.0, norm_target=True),
    _first(1.0, 1.0, 1.0, 1.0, contrastive_weight=0.01, contrastive_temperature=0.05),
)

study = Study(
    metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1, first_trials=FIRST
)


def space(trial: Trial) -> WaterMAE:
    weights = {name: trial.suggest_float(f"weight_{name}", 0.1, 300.0, log=True) for name in MODALITIES}
    loss: dict[str, Any] = {"norm_target": trial.suggest_categorical("norm_target", [False, True])}
    if trial.suggest_categorical("contrastive", [False, True]):
        loss |= {
            "contrastive_weight": trial.suggest_float("contrastive_weight", 1e-3, 0.1, log=True),
            "contrastive_temperature": trial.suggest_float("contrastive_temperature", 0.03, 0.2, log=True),
        }
    lr = trial.suggest_float("lr", LR / 2, LR * 2, log=True)
    optimization = {"lr": lr, "batch_size": 4}
    return PRESETS["gb_small"].vary(loss_weights=weights, loss=loss, optimization=optimization)
