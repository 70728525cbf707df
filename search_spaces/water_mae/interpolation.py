"""Does a masked autoencoder earn its keep beside the interpolation of visible values, and how should it know of it?

Great Britain. Decoders know nothing of it, as published, read it, correct it, or both, with three seeds each.
`thalweg show water_mae_interpolation --by interpolation` gives mean and spread; with `--metric skill_precipitation` and
the like those of one modality. `thalweg best water_mae_interpolation --test` reads the years that were held out.
"""

from thalweg.study import Study, Trial, grid
from trainables.water_mae.config import PRESETS, WaterMAE

GRID = grid(interpolation=["both", "none", "added", "read"], seeds=3)

study = Study(metric="skill", mode="max", samples=2048, num_evaluations=2, grid=GRID, keep_checkpoints=12)


def space(trial: Trial) -> WaterMAE:
    cell = GRID.ask(trial)
    return PRESETS["gb_small"].vary(
        seed=cell["seed"],
        model={"interpolation": cell["interpolation"]},
        optimization={"lr": 1.3e-3, "batch_size": 4},
    )
