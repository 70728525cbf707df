"""Which temperature, batch size and embedder let an image find the scan of its scene?

Contrastive pre-training of image and scan, on the tiny synthetic scenes. Coarse pictures as embeddings
(`coarse_likeness`) find .285 of the scans among 100. Batches of 32 at a learning rate of .003 come level with them
after a third of the budget, and at its end find .40 (four seeds, .365 to .445); batches of 64 find .34, half the rate
.295 (a seed each). The first evaluations are all near chance and say nothing.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

study = Study(
    metric="retrieval_r1",
    mode="max",
    samples=13440,
    num_trials=24,
    num_evaluations=8,
    min_samples=5040,
    seed=1,
)

DOWNSAMPLING = ["maxpool", "avgpool", "strided_extra", "strided_replace"]
MAX_MICRO_BATCH = 64  # so that memory does not limit the batch


def space(trial: Trial) -> RGBLidar:
    embedder = {
        "downsampling": trial.suggest_categorical("downsampling", DOWNSAMPLING),
        "embedding_dim": trial.suggest_categorical("embedding_dim", [16, 32, 64, 128]),
    }
    batch_size = trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256])
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    micro_batch_size = min(batch_size, MAX_MICRO_BATCH)
    return PRESETS["tiny_chain"].vary(
        model={"stages": ("cilp",), "embedder": embedder, "similarity": _similarity(trial)},
        optimization={"lr": lr, "batch_size": batch_size, "micro_batch_size": micro_batch_size},
    )


def _similarity(trial: Trial) -> dict[str, Any]:
    temperature = trial.suggest_categorical("temperature", ["learnable", "fixed", "none"])
    if temperature == "none":
        logit_map = trial.suggest_categorical("logit_map", ["cosine", "half_cosine"])
        return {"temperature": temperature, "logit_map": logit_map}
    initial = trial.suggest_float("initial_temperature", 0.01, 0.5, log=True)
    return {"temperature": temperature, "initial_temperature": initial}
