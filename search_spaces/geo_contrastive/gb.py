"""Do fusions differ by more than their seeds on real weather, and does comparing days help?

Rain and temperature over Great Britain beside sea-level pressure over the North Atlantic, 2001 to 2010: two grids, so
one encoder for each variable. README says how `gb` is imported. All fusions have equally many parameters;
`thalweg show geo_contrastive_gb --by fusion --by objective` gives mean and spread of each.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

NUM_PARAMETERS = 68_000
GRID = grid(
    objective=["simclr", "autoencoder"],
    fusion=["average", "self_attention", "gcn"],
    seeds=3,
)

study = Study(metric="rrmse", mode="min", samples=16384, num_evaluations=4, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return PRESETS["tiny_late"].vary(
        dataset="gb",
        data={"variables": ("slp", "precipitation", "temperature")},
        seed=cell["seed"],
        encoder={"fusion": {"kind": cell["fusion"], "num_parameters": NUM_PARAMETERS}},
        objective={"kind": cell["objective"]},
    )
