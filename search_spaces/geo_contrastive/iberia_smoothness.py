"""Do latents of real weather that move smoothly through time forecast better?

`geo_contrastive_smoothness` asks the same of the synthetic weather; the data are those of
`geo_contrastive_iberia_fusion`. The objective and the weight of the curvature make latents smooth or not.
`thalweg show geo_contrastive_iberia_smoothness --relate latent_curvature forecast_skill_climatology` gives the rank
correlation with its interval.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import IBERIA, GeoContrastive
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs

FORECAST_LR = 5e-4  # of all trials, whatever the rate of the encoder: forecasts differ by their latents

study = Study(
    metric="forecast_skill_climatology",
    mode="max",
    samples=4096,
    num_trials=20,
    num_evaluations=1,
    scheduler="none",  # the correlation is one of whole trainings
    sampler="random",  # and of all kinds of latents, not of the best alone
    keep_checkpoints=1,
    seed=1,
)


def space(trial: Trial) -> GeoContrastive:
    # Winters are one season, which a supervised contrastive loss could not tell apart.
    objective: dict[str, Any] = {
        "kind": trial.suggest_categorical("objective", ["simclr", "barlow", "autoencoder"])
    }
    if objective["kind"] != "autoencoder":
        objective["cycle"] = trial.suggest_categorical("cycle", ["off", "projection", "latent"])
        if objective["cycle"] != "off":
            objective["cycle_weight"] = trial.suggest_float("cycle_weight", 0.01, 10.0, log=True)
    lr = trial.suggest_float("lr", 1e-3, 1e-2, log=True)
    forecast = ForecastKnobs(context=3, hidden=64, linear=True, rest="persists", lr_scale=FORECAST_LR / lr)
    return IBERIA.vary(objective=objective, optimization={"lr": lr}, downstream=forecast)
