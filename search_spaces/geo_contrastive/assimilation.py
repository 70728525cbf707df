"""How sparsely should observations lie in training, and how large must the network be that analyses them?

On the tiny synthetic weather, from the latents of the best of `geo_contrastive_objectives`. Trials are judged by fields
that are analysed from noisy observations of a tenth of the cells, whatever they trained on; optimal interpolation of
the same observations stands beside them.
"""

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

study = Study(
    metric="assimilation_rrmse",
    mode="min",
    samples=16384,
    num_trials=24,
    num_evaluations=4,
    min_samples=4096,
    seed=1,
)


def space(trial: Trial) -> GeoContrastive:
    low = trial.suggest_float("observed_low", 0.02, 0.2, log=True)
    downstream = {
        "share": 1.0,
        "observed_low": low,
        "observed_high": low + (0.5 - low) * trial.suggest_float("observed_width", 0.0, 1.0),
        "hidden_dim": trial.suggest_categorical("hidden_dim", [64, 128, 256, 512, 1024]),
        "num_layers": trial.suggest_int("num_layers", 1, 4),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "lr_scale": trial.suggest_float("lr_scale", 0.1, 10.0, log=True),
    }
    return PRESETS["tiny_assimilation"].vary(
        starts_from=("geo_contrastive_objectives",), downstream=downstream
    )
