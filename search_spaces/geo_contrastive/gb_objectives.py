"""Does comparing days reconstruct real weather better than reconstruction alone, beyond what seeds differ by?

The data are those of `geo_contrastive_gb`, and so is the budget: what a contrastive objective spends on its encoder,
its decoder lacks. `thalweg show geo_contrastive_gb_objectives --by objective` gives mean and spread of each.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import GB, GeoContrastive

GRID = grid(objective=["simclr", "barlow", "supcon", "autoencoder"], seeds=3)

study = Study(metric="rrmse", mode="min", samples=4096, num_evaluations=1, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return GB.vary(seed=cell["seed"], objective={"kind": cell["objective"]})
