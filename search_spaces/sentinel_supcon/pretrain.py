"""Does pre-training without labels help, with which loss, views and temperature, and must encoders then go on training?

On a quarter of the tiny world's training scenes; pre-training takes its samples from the same budget.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon

study = Study(metric="macro_recall", mode="max", samples=6144, num_trials=32, num_evaluations=6, seed=1)


def space(trial: Trial) -> SentinelSupCon:
    pretraining: dict[str, Any] = {"share": 0.0}
    tuning: dict[str, Any] = {}
    if trial.suggest_categorical("pretrained", [True, False]):
        pretraining = {
            "share": trial.suggest_float("share", 0.2, 0.7),
            "temperature": trial.suggest_float("temperature", 0.05, 0.5, log=True),
            "views": trial.suggest_categorical("views", [True, False]),
            "negatives": trial.suggest_categorical("negatives", [True, False]),
        }
        if pretraining["views"]:
            pretraining["loss"] = trial.suggest_categorical("loss", ["nt_xent", "pairwise"])
        if trial.suggest_categorical("mode", ["full", "linear"]) == "linear":
            tuning = {"mode": "linear", "sup_delta": 0.0}
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    parts = {"pretraining": pretraining, "tuning": tuning, "optimization": {"lr": lr}}
    return PRESETS["tiny"].vary(data={"data_ratio": 0.25}, **parts)
