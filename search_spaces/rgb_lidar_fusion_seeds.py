"""Every fusion with five seeds at two learning rates, all of one size, on the default scenes: a grid, not a search.

`thalweg show rgb_lidar_fusion_seeds --by fusion --by lr` gives mean and spread of each. A fusion that fails at one rate
may not at the other: a comparison at one rate would call that a property of the fusion.
"""

from itertools import product

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar

FUSIONS: dict[str, dict[str, str | bool]] = {
    **{
        f"late {name}": {"fusion_stage": "late", "fusion": name}
        for name in ("add", "attention", "concat", "gated", "hadamard")
    },
    "late concat, normalised": {
        "fusion_stage": "late",
        "fusion": "concat",
        "normalize_embeddings": True,
    },
    **{
        f"intermediate {name}": {"fusion_stage": "intermediate", "fusion": name}
        for name in ("add", "attention", "concat", "gated", "hadamard", "matmul")
    },
}
NUM_SEEDS = 5
NUM_PARAMETERS = 600_000

RATES = [1e-3, 3e-3]

GRID = tuple(
    {"fusion": fusion, "seed": seed, "lr": lr}
    for seed, lr, fusion in product(range(NUM_SEEDS), RATES, FUSIONS)
)

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=11200,
    num_trials=len(GRID),
    num_evaluations=4,
    sampler="random",
    scheduler="none",
    first_trials=GRID,
    keep_checkpoints=1,
)


def space(trial: Trial) -> RGBLidar:
    """Do fusions of equal size differ by more than their seeds do?"""
    base = PRESETS["small"]
    fusion = FUSIONS[trial.suggest_categorical("fusion", list(FUSIONS))]
    model = base.model.model_copy(update={**fusion, "num_parameters": NUM_PARAMETERS})
    optimization = base.optimization.model_copy(
        update={"lr_schedule": "cosine", "lr": trial.suggest_categorical("lr", RATES)}
    )
    return base.model_copy(
        update={
            "model": model,
            "optimization": optimization,
            "seed": trial.suggest_int("seed", 0, NUM_SEEDS - 1),
        }
    )
