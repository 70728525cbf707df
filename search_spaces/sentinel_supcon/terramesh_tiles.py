"""Does SupCon beside the cross-entropy gain more than seeds differ, on real scenes of a tile never seen?

The data are those of `sentinel_supcon_terramesh_seeds`, of which one of five tiles is held out: README says how
`terramesh-tiles` is imported. Snow and built-up land are in one tile each, so they are left out. The rate is the one at
which both losses did better there. `thalweg show sentinel_supcon_terramesh_tiles --by loss` gives mean and spread.
"""

from thalweg.study import Study, Trial, grid
from trainables.sentinel_supcon.config import LOSSES, TERRAMESH, SentinelSupCon

GRID = grid(loss=LOSSES, seeds=6)

study = Study(
    metric="macro_recall", mode="max", samples=6144, num_evaluations=2, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> SentinelSupCon:
    cell = GRID.ask(trial)
    return TERRAMESH.vary(
        dataset="terramesh-tiles",
        seed=cell["seed"],
        data={"ignored": ("Built", "Snow")},
        optimization={"lr": 1e-3},
        **cell["loss"],
    )
