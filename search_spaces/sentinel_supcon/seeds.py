"""Does SupCon beside the cross-entropy gain more than seeds differ?

Each with eight seeds at two learning rates: a comparison at one rate would call a property of the rate one of the loss.
`thalweg show sentinel_supcon_seeds --by loss --by lr` gives mean and spread of each, and of one class with `--metric
recall_Mines`.
"""

from thalweg.study import Study, Trial, grid
from trainables.sentinel_supcon.config import LOSSES, PRESETS, SentinelSupCon

GRID = grid(lr=[1e-3, 3e-3], loss=LOSSES, seeds=8)

study = Study(
    metric="macro_recall", mode="max", samples=3072, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> SentinelSupCon:
    cell = GRID.ask(trial)
    return PRESETS["tiny"].vary(
        seed=cell["seed"],
        data={"data_ratio": 0.1},
        optimization={"lr": cell["lr"]},
        **cell["loss"],
    )
