"""Does comparing days teach an encoder more than reconstructing them, each at the rate that suits it?

On the tiny synthetic weather. All objectives have the same budget, and are judged by the fields that are reconstructed
from three tenths of their cells.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

study = Study(
    metric="rrmse", mode="min", samples=32768, num_trials=24, num_evaluations=8, min_samples=16384, seed=1
)

OBJECTIVES = ["simclr", "barlow", "supcon", "simclr_supcon", "simclr_barlow", "autoencoder"]


def space(trial: Trial) -> GeoContrastive:
    kind = trial.suggest_categorical("objective", OBJECTIVES)
    objective: dict[str, Any] = {"kind": kind}
    if "simclr" in kind or "supcon" in kind:
        objective["temperature"] = trial.suggest_float("temperature", 0.02, 0.7, log=True)
    if "barlow" in kind:
        objective["off_diagonal"] = trial.suggest_float("off_diagonal", 1e-4, 0.1, log=True)
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return PRESETS["tiny"].vary(objective=objective, optimization={"lr": lr})
