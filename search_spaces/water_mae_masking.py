"""Great Britain: what to hide in training, and how much of it to reconstruct."""

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, DataKnobs, MaskingKnobs, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1)

LEAST = 0.15


def space(trial: Trial) -> WaterMAE:
    """How much should be hidden of fields and of rivers, together or apart, and must all of it be reconstructed?"""
    base = PRESETS["small"]
    ratios = {}
    for kind in ("image", "vector"):
        hidden = trial.suggest_float(f"{kind}_mask_ratio", LEAST, 0.85)
        # From 0, which reconstructs the least share of all patches, to 1, which reconstructs all that is hidden.
        decoded = trial.suggest_float(f"{kind}_decoded", 0.0, 1.0)
        ratios[f"{kind}_mask_ratio"] = hidden
        ratios[f"{kind}_kept_mask_ratio"] = LEAST + decoded * (hidden - LEAST)
    masking = MaskingKnobs(
        mask_mode=trial.suggest_categorical("mask_mode", ["unified", "independent"]), **ratios
    )
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return base.model_copy(
        update={
            "dataset": "gb-hydrology",
            "data": DataKnobs(sequence_length=4, stride=4, evaluation_stride=4),
            "masking": masking,
            "optimization": base.optimization.model_copy(update={"lr": lr, "batch_size": 4}),
        }
    )
