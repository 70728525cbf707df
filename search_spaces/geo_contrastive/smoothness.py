"""Do latents that move smoothly through time forecast better?

Each trial trains a representation and a forecast on its frozen latents, so that both are known of it. The objective and
the weight of the curvature make latents smooth or not. After the search,
`thalweg show geo_contrastive_smoothness --relate latent_curvature forecast_skill_climatology` gives the rank
correlation with its interval. On the tiny synthetic weather.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

FORECAST_LR = 5e-4  # of all trials, whatever the rate of the encoder: forecasts differ by their latents

study = Study(
    metric="forecast_skill_climatology",
    mode="max",
    samples=32768,
    num_trials=24,
    num_evaluations=4,
    scheduler="none",  # the correlation is one of whole trainings
    sampler="random",  # and of all kinds of latents, not of the best alone
    seed=1,
)


def space(trial: Trial) -> GeoContrastive:
    objective: dict[str, Any] = {
        "kind": trial.suggest_categorical("objective", ["simclr", "barlow", "supcon", "autoencoder"])
    }
    if objective["kind"] != "autoencoder":
        objective["cycle"] = trial.suggest_categorical("cycle", ["off", "projection", "latent"])
        if objective["cycle"] != "off":
            objective["cycle_weight"] = trial.suggest_float("cycle_weight", 0.01, 10.0, log=True)
    lr = trial.suggest_float("lr", 1e-3, 1e-2, log=True)
    return PRESETS["tiny_forecast"].vary(
        objective=objective, optimization={"lr": lr}, downstream={"lr_scale": FORECAST_LR / lr}
    )
