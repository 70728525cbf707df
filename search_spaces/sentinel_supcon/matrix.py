"""What do fusion, augmentation and SupCon each add, alone and together?

The published matrix of 2 x 2 x 2 cells with three seeds each: a grid, not a search. Without a fusion each sensor has a
head of its own. `thalweg show sentinel_supcon_matrix --by fusion --by augment --by supcon` compares the cells.
"""

from thalweg.study import Study, Trial, grid
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon

GRID = grid(
    fusion={"fused": "s1s2_fused", "two heads": "s1s2"},
    augment=[True, False],
    supcon={"supcon": 1.0, "cross-entropy": 0.0},
    seeds=3,
)

study = Study(
    metric="macro_recall", mode="max", samples=3072, num_evaluations=4, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> SentinelSupCon:
    cell = GRID.ask(trial)
    parts = {"tuning": {"sup_delta": cell["supcon"]}, "views": {"augment": cell["augment"]}}
    model = {"scenario": cell["fusion"]}
    return PRESETS["tiny"].vary(seed=cell["seed"], data={"data_ratio": 0.25}, model=model, **parts)
