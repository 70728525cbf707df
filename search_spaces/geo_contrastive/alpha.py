"""How fast should the contrastive loss give way to reconstruction, how straight should latents move, in which batch?

Alpha halves its distance to the floor at a share of the joint stage, whatever the number of epochs. On the tiny
synthetic weather.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.knobs import cap_of

study = Study(
    metric="rrmse", mode="min", samples=32768, num_trials=24, num_evaluations=8, min_samples=16384, seed=1
)


def space(trial: Trial) -> GeoContrastive:
    floor = trial.suggest_float("floor", 0.0, 0.2)
    start = trial.suggest_float("start", 0.5, 1.0)
    half_point = trial.suggest_float("half_point", 0.02, 2.0, log=True)
    cap = cap_of(start, half_point, floor, trial.suggest_float("cap_above_end", 0.0, 0.5))
    alpha = {"start": start, "half_point": half_point, "floor": floor, "cap": cap}
    objective: dict[str, Any] = {"cycle": trial.suggest_categorical("cycle", ["off", "projection", "latent"])}
    if objective["cycle"] != "off":
        objective["cycle_weight"] = trial.suggest_float("cycle_weight", 0.01, 10.0, log=True)
    batch_size = trial.suggest_categorical("batch_size", [16, 32, 64, 128])
    return PRESETS["tiny"].vary(
        stages={"alpha": alpha}, objective=objective, optimization={"batch_size": batch_size}
    )
