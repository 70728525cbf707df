"""Do fusions of one latent per variable differ by more than their seeds on real weather?

Rain and temperature over Great Britain beside sea-level pressure over the North Atlantic, 2001 to 2010: two grids, so
one encoder for each variable. README says how `gb` is imported. All fusions have equally many parameters;
`thalweg show geo_contrastive_gb --by fusion` gives mean and spread of each.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import GB, GeoContrastive

NUM_PARAMETERS = 17_000
GRID = grid(fusion=["average", "self_attention", "gcn", "gat", "cross_attention"], seeds=3)

study = Study(metric="rrmse", mode="min", samples=4096, num_evaluations=1, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return GB.vary(
        seed=cell["seed"],
        encoder={"fusion": {"kind": cell["fusion"], "num_parameters": NUM_PARAMETERS}},
    )
