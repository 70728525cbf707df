"""How much of the past should a forecast read, how far should it step at once, and by which network?

On the tiny synthetic weather, from the latents of the best of `geo_contrastive_objectives`. Trials are judged by the
decoded fields 1, 3, 5 and 10 days ahead, whatever their stride. No trial is stopped early: a forecast that learns to
read 30 days begins slowly.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

study = Study(
    metric="forecast_skill_climatology",
    mode="max",
    samples=16384,
    num_trials=24,
    num_evaluations=4,
    scheduler="none",
    seed=1,
)


def space(trial: Trial) -> GeoContrastive:
    cell = trial.suggest_categorical("cell", ["lstm", "transformer"])
    horizon = trial.suggest_int("horizon", 1, 6)
    context = trial.suggest_categorical("context", [1, 3, 5, 30])
    if context < 30:
        stride = trial.suggest_categorical("stride", [1, 5, 10, 20])
    else:  # the longest run of days would not hold 30 days further apart
        stride = trial.suggest_categorical("stride_of_30", [1, 5])
    downstream: dict[str, Any] = {
        "share": 1.0,
        "cell": cell,
        "horizon": horizon,
        "context": context,
        "stride": stride,
        "hidden": trial.suggest_categorical("hidden", [64, 128, 256, 512]),
        "layers": trial.suggest_int("layers", 1, 4),
        "loss": trial.suggest_categorical("loss", ["latent", "field"]),
        "lr_scale": trial.suggest_float("lr_scale", 0.1, 10.0, log=True),
    }
    if cell == "transformer" and context > 1:
        downstream["heads"] = trial.suggest_categorical("heads", [1, 2, 4, 8])
    if horizon > 1:
        downstream["last_teaching"] = trial.suggest_float("last_teaching", 0.0, 1.0)
    return PRESETS["tiny_forecast"].vary(starts_from=("geo_contrastive_objectives",), downstream=downstream)
