"""Should more be hidden as training goes on, or less, and how fast?

Great Britain. The share that is hidden of fields and the weight of a contrastive loss between modalities go from one
value to another; `thalweg describe water_mae` draws such schedules.
"""

from thalweg.knobs.subspaces import optimizer, schedule
from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

study = Study(metric="skill", mode="max", samples=4096, num_trials=24, num_evaluations=8, seed=1)


def space(trial: Trial) -> WaterMAE:
    hidden = schedule(trial, "image_mask_", start=(0.15, 0.7), end=(0.3, 0.85))
    contrast = schedule(trial, "contrastive_", start=(1e-3, 0.1), end=0.0, shape=["linear", "cosine"])
    return PRESETS["gb_small"].vary(
        masking={"image_mask_ratio": hidden},
        loss={"contrastive_weight": contrast},
        optimization={"batch_size": 4, **optimizer(trial, lr=(3e-4, 1e-2))},
    )
