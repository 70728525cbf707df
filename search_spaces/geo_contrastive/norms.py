"""Which normalisation should encoder and decoder have?

Instance norm takes the mean of each map away, batch norm mixes the days of a batch. Each with three seeds, on the tiny
synthetic weather; `thalweg show geo_contrastive_norms --by encoder_norm --by decoder_norm` gives mean and spread.
"""

from thalweg.study import Study, Trial, grid
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

GRID = grid(
    encoder_norm=["batch", "instance", "group8", "layer", "none"],
    decoder_norm=["batch", "group8", "none"],
    seeds=3,
)

study = Study(metric="rrmse", mode="min", samples=16384, num_evaluations=4, grid=GRID, keep_checkpoints=1)


def space(trial: Trial) -> GeoContrastive:
    cell = GRID.ask(trial)
    return PRESETS["tiny"].vary(
        seed=cell["seed"], encoder={"norm": cell["encoder_norm"]}, decoder={"norm": cell["decoder_norm"]}
    )
