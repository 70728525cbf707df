"""Do fusions of one latent per variable differ by more than their seeds do, if all have equally many parameters?

Temperature lies on its own grid, on land. `thalweg show geo_contrastive_fusion --by fusion --by objective` gives mean
and spread of each.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

NUM_PARAMETERS = 68_000
GRID = grid(
    objective=["simclr", "autoencoder"],
    fusion=["average", "self_attention", "gcn", "gat", "cross_attention"],
    seeds=3,
)

study = Study(metric="rrmse", mode="min", samples=16384, num_evaluations=4, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return PRESETS["tiny_late"].vary(
        seed=cell["seed"],
        encoder={"fusion": {"kind": cell["fusion"], "num_parameters": NUM_PARAMETERS}},
        objective={"kind": cell["objective"]},
    )
