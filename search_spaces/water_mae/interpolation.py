"""Does a masked autoencoder earn its keep beside the interpolation of visible values, and how should it know of it?

Great Britain. Decoders know nothing of it, as published, read it, correct it, or both; of values, or of anomalies from
the seasonal cycle of each place; with three seeds each. `thalweg show water_mae_interpolation --by arm` gives mean and
spread; with `--metric skill_precipitation` and the like those of one modality. `thalweg best water_mae_interpolation
--test` reads the years that were held out. Rain and temperature of these data are interpolated themselves, from gauges
by inverse distance, which favours interpolation.

Skill on ``val``, mean and standard deviation of three seeds: none .803 +- .002, read .921, added .925, both .930, each
+- .0004; of anomalies added .9324, no more than before training, and both .9377 +- .0009. Interpolation has .909, that
of anomalies .932, and the ridge regression .936.
"""

from thalweg.study import Study, Trial, grid
from trainables.water_mae.config import PRESETS, WaterMAE

ARMS = {
    "both_of_anomalies": {"interpolation": "both", "interpolate_anomalies": True},
    "both": {"interpolation": "both"},
    "none": {},
    "added_of_anomalies": {"interpolation": "added", "interpolate_anomalies": True},
    "added": {"interpolation": "added"},
    "read": {"interpolation": "read"},
}
GRID = grid(arm=list(ARMS), seeds=3)

study = Study(metric="skill", mode="max", samples=2048, num_evaluations=2, grid=GRID, keep_checkpoints=18)


def space(trial: Trial) -> WaterMAE:
    cell = GRID.ask(trial)
    return PRESETS["gb_small"].vary(
        seed=cell["seed"],
        model=ARMS[cell["arm"]],
        optimization={"lr": 1.3e-3, "batch_size": 4},
    )
