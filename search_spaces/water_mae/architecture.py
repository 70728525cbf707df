"""How wide and deep should encoders, shared layers and decoders be, and what should decoders and FiLM see?

Great Britain, at widths of a quarter of the published ones.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

study = Study(metric="skill", mode="max", samples=2048, num_trials=24, num_evaluations=8, seed=1)


def space(trial: Trial) -> WaterMAE:
    model: dict[str, Any] = {
        "image_depth": trial.suggest_int("image_depth", 2, 8),
        "vector_depth": trial.suggest_int("vector_depth", 1, 6),
        "dim": trial.suggest_categorical("dim", [32, 48, 64, 96]),
        "num_heads": trial.suggest_categorical("num_heads", [2, 4, 8]),
        "shared_depth": trial.suggest_int("shared_depth", 0, 4),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "decoder_dim": trial.suggest_categorical("decoder_dim", [16, 32, 64]),
        "decoder_num_heads": trial.suggest_categorical("decoder_num_heads", [2, 4, 8]),
        "decoder_depth": trial.suggest_int("decoder_depth", 1, 8),
        "film_mode": trial.suggest_categorical("film_mode", ["tanh", "one_plus", "none"]),
    }
    if model["film_mode"] != "none":
        model["film_scope"] = trial.suggest_categorical("film_scope", ["per_patch", "global"])
    model["decoder_type"] = trial.suggest_categorical("decoder_type", ["cross", "self"])
    if model["decoder_type"] == "cross":
        model |= _reading(trial, min(model["image_depth"], model["vector_depth"]))
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return PRESETS["gb_small"].vary(model=model, optimization={"lr": lr})


def _reading(trial: Trial, depth: int) -> dict[str, Any]:
    """Asks what a cross decoder reads, of encoders that all have so many layers."""
    knobs: dict[str, Any] = {
        "decoder_self_attention": trial.suggest_categorical("decoder_self_attention", [False, True])
    }
    maps = trial.suggest_categorical("feature_maps", ["last", "every second", "all"])
    if maps != "last":
        knobs |= {
            "weighted_feature_maps": True,
            "feature_map_layers": None if maps == "all" else tuple(range(0, depth, 2)),
            "feature_map_input": trial.suggest_categorical("feature_map_input", [False, True]),
        }
    return knobs
