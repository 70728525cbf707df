"""How much should SupCon weigh beside the cross-entropy, at which temperature and batch?

On a quarter of the tiny world's training scenes, where labels are few.
"""

from thalweg.study import Study, Trial
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon

study = Study(
    metric="macro_recall",
    mode="max",
    samples=3072,
    num_trials=24,
    num_evaluations=6,
    min_samples=1536,
    seed=1,
)


def space(trial: Trial) -> SentinelSupCon:
    tuning: dict[str, object] = {"sup_delta": 0.0}
    if trial.suggest_categorical("supcon", [True, False]):
        tuning = {
            "sup_delta": trial.suggest_float("sup_delta", 0.01, 10.0, log=True),
            "temperature": trial.suggest_float("temperature", 0.03, 0.5, log=True),
            "contrast": trial.suggest_categorical("contrast", ["all", "one"]),
        }
    optimization = {
        "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
    }
    return PRESETS["tiny"].vary(data={"data_ratio": 0.25}, tuning=tuning, optimization=optimization)
