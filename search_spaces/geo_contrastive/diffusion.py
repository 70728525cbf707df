"""How many steps of which noise, and how large a network, sample the days that a masked field may belong to?

On the tiny synthetic weather, from the latents of the best of `geo_contrastive_objectives`. Trials are judged by the
fair CRPS of decoded samples, given fields of which seven tenths are hidden, whatever they trained on. What is
asked of the noise is its sum over all steps, so that every number of steps ends in noise.
"""

from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

study = Study(
    metric="crps", mode="min", samples=16384, num_trials=24, num_evaluations=4, min_samples=4096, seed=1
)


def space(trial: Trial) -> GeoContrastive:
    num_steps = trial.suggest_categorical("num_steps", [200, 500, 1000])
    # The betas rise linearly: their sum is num_steps * beta_end / 2, and exp(-sum / 2) of a latent is left.
    sum_of_betas = trial.suggest_float("sum_of_betas", 5.0, 20.0, log=True)
    downstream = {
        "share": 1.0,
        "num_steps": num_steps,
        "beta_end": 2 * sum_of_betas / num_steps,
        "hidden_dim": trial.suggest_categorical("hidden_dim", [64, 128, 256, 512, 1024]),
        "num_blocks": trial.suggest_int("num_blocks", 1, 6),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "mask": trial.suggest_float("mask", 0.5, 0.9),
        "lr_scale": trial.suggest_float("lr_scale", 0.003, 10.0, log=True),
    }
    return PRESETS["tiny_diffusion"].vary(starts_from=("geo_contrastive_objectives",), downstream=downstream)
