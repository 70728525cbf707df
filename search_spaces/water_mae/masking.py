"""How much should be hidden of fields and of rivers, together or apart, and must all of it be reconstructed?

Great Britain. What is reconstructed goes from 0, the least share of all patches, to 1, all that is hidden.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1)

LEAST = 0.15


def space(trial: Trial) -> WaterMAE:
    masking: dict[str, Any] = {}
    for kind in ("image", "vector"):
        hidden = trial.suggest_float(f"{kind}_mask_ratio", LEAST, 0.85)
        decoded = trial.suggest_float(f"{kind}_decoded", 0.0, 1.0)
        masking[f"{kind}_mask_ratio"] = hidden
        masking[f"{kind}_kept_mask_ratio"] = LEAST + decoded * (hidden - LEAST)
    masking["mask_mode"] = trial.suggest_categorical("mask_mode", ["unified", "independent"])
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return PRESETS["gb_small"].vary(masking=masking, optimization={"lr": lr, "batch_size": 4})
