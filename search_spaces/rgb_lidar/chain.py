"""How should a budget be divided over the chain, so that images alone tell what scans taught?

The whole chain in each trial: contrastive pre-training, classifier of scans, projector, fine-tuning. No trial is
stopped early: before the projector is trained, its cross-entropy says nothing about it.
"""

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=19600,
    num_trials=24,
    num_evaluations=7,
    scheduler="none",
    seed=1,
)

MAX_MICRO_BATCH = 64  # so that memory does not limit the batch


def space(trial: Trial) -> RGBLidar:
    shares = {
        "cilp": trial.suggest_float("cilp", 3, 30, log=True),
        "projector": trial.suggest_float("projector", 3, 30, log=True),
        "finetune": trial.suggest_float("finetune", 1, 10, log=True),
    }
    temperature = trial.suggest_float("initial_temperature", 0.02, 0.5, log=True)
    frozen = trial.suggest_categorical("frozen", ["nothing", "rgb", "rgb_and_head"])
    batch_size = trial.suggest_categorical("batch_size", [16, 32, 64])
    lr = trial.suggest_float("lr", 1e-3, 1e-2, log=True)
    micro_batch_size = min(batch_size, MAX_MICRO_BATCH)
    return PRESETS["tiny_chain"].vary(
        model={
            "shares": shares,
            "similarity": {"initial_temperature": temperature},
            "finetune_frozen": frozen,
        },
        optimization={"lr": lr, "batch_size": batch_size, "micro_batch_size": micro_batch_size},
    )
