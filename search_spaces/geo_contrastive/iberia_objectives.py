"""Does comparing days reconstruct real weather better than reconstruction alone, beyond what seeds differ by?

The data are those of `geo_contrastive_iberia_fusion`, and all trials have the same budget: what a contrastive objective
spends on its encoder, its decoder lacks. Winters are one season, which a supervised contrastive loss could not tell
apart: `geo_contrastive_gb_objectives` has it too. `thalweg show geo_contrastive_iberia_objectives --by objective` gives
mean and spread of each, and differences within seeds.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import IBERIA, GeoContrastive

GRID = grid(objective=["simclr", "barlow", "autoencoder"], seeds=3)

study = Study(metric="rrmse", mode="min", samples=4096, num_evaluations=1, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return IBERIA.vary(seed=cell["seed"], objective={"kind": cell["objective"]})
