"""Do fusions of equal size differ by more than their seeds do?

Every fusion with five seeds at two learning rates, on the default scenes: a grid, not a search.
`thalweg show rgb_lidar_fusion_seeds --by fusion --by lr` gives mean and spread of each. A fusion that fails at one rate
may not at the other: a comparison at one rate would call that a property of the fusion.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

ANYWHERE = ["add", "attention", "concat", "gated", "hadamard"]
FUSIONS = {
    **{f"late {name}": {"fusion_stage": "late", "fusion": name} for name in ANYWHERE},
    "late concat, normalised": {"fusion_stage": "late", "fusion": "concat", "normalize_embeddings": True},
    **{
        f"intermediate {name}": {"fusion_stage": "intermediate", "fusion": name}
        for name in [*ANYWHERE, "matmul"]
    },
}
NUM_PARAMETERS = 600_000
GRID = grid(lr=[1e-3, 3e-3], fusion=FUSIONS, seeds=5)

study = Study(
    metric="cross_entropy", mode="min", samples=11200, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    return PRESETS["small"].vary(
        seed=cell["seed"],
        model={**cell["fusion"], "num_parameters": NUM_PARAMETERS},
        optimization={"lr": cell["lr"], "lr_schedule": "cosine"},
    )
