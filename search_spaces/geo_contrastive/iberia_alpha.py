"""How fast should the contrastive loss give way to reconstruction on real weather, beyond what seeds differ by?

Alpha halves after a twentieth of the joint stage, after a quarter as published, or hardly at all. The data are those of
`geo_contrastive_iberia_fusion`; `thalweg show geo_contrastive_iberia_alpha --by half_point` gives mean and spread of
each, and differences within seeds.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import IBERIA, GeoContrastive

GRID = grid(half_point=[0.05, 0.277, 2.0], seeds=3)

study = Study(metric="rrmse", mode="min", samples=4096, num_evaluations=1, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return IBERIA.vary(seed=cell["seed"], stages={"alpha": {"half_point": cell["half_point"]}})
