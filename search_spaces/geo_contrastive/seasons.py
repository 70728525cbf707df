"""Which objective's latents tell the season best, and with how much regularisation of the classifier?

On the tiny synthetic weather. Each trial trains a representation and the classifier on its frozen latents. The shares
of the seasons and a regression of leading patterns stand beside them.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

study = Study(
    metric="season_cross_entropy",
    mode="min",
    samples=32768,
    num_trials=24,
    num_evaluations=4,
    scheduler="none",  # the classifier trains last
    seed=1,
)


def space(trial: Trial) -> GeoContrastive:
    objective: dict[str, Any] = {
        "kind": trial.suggest_categorical("objective", ["simclr", "barlow", "supcon", "autoencoder"])
    }
    if objective["kind"] in ("simclr", "supcon"):
        objective["temperature"] = trial.suggest_float("temperature", 0.02, 0.7, log=True)
    if objective["kind"] == "barlow":
        objective["off_diagonal"] = trial.suggest_float("off_diagonal", 1e-4, 0.1, log=True)
    downstream = {
        "dropout": trial.suggest_float("dropout", 0.0, 0.7),
        "lr_scale": trial.suggest_float("lr_scale", 0.1, 10.0, log=True),
    }
    weight_decay = trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True)
    return PRESETS["tiny_seasons"].vary(
        objective=objective, downstream=downstream, optimization={"weight_decay": weight_decay}
    )
