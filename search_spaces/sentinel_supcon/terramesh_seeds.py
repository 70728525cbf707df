"""Does SupCon beside the cross-entropy gain more than seeds differ, on real scenes?

The data are 500 scenes of TerraMesh, imported as the README says; places are blocks of 640 m, so neighbours of a scene
may be in another split. `thalweg show sentinel_supcon_terramesh_seeds --by loss --by lr` gives mean and spread.
"""

from thalweg.study import Study, Trial, grid
from trainables.sentinel_supcon.config import LOSSES, TERRAMESH, SentinelSupCon

GRID = grid(lr=[1e-3, 3e-3], loss=LOSSES, seeds=6)

study = Study(
    metric="macro_recall", mode="max", samples=6144, num_evaluations=2, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> SentinelSupCon:
    cell = GRID.ask(trial)
    return TERRAMESH.vary(seed=cell["seed"], optimization={"lr": cell["lr"]}, **cell["loss"])
