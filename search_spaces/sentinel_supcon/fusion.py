"""Which sensors, and which fusion of both, tell scenes apart best, each at its own learning rate?

On a quarter of the tiny world's training scenes, of which radar and camera each know what the other does not.
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

SCENARIOS = ["s1", "s2", "s1s2", "s1s2_fused"]
FUSIONS = ["concat", "mean", "gated", "attention"]


def space(trial: Trial) -> SentinelSupCon:
    scenario = trial.suggest_categorical("scenario", SCENARIOS)
    model = {"scenario": scenario, "backbone": trial.suggest_categorical("backbone", ["shared", "dual"])}
    if scenario == "s1s2_fused":
        model["fusion"] = trial.suggest_categorical("fusion", FUSIONS)
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return PRESETS["tiny"].vary(data={"data_ratio": 0.25}, model=model, optimization={"lr": lr})
