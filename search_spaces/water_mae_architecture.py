"""Great Britain: widths at a quarter of the published ones, depths, decoders, feature maps and conditioning."""

from typing import Any

from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, DataKnobs, ModelKnobs, WaterMAE

study = Study(metric="skill", mode="max", samples=2048, num_trials=24, num_evaluations=8, seed=1)

DEPTHS = {"image": (2, 8), "vector": (1, 6)}


def space(trial: Trial) -> WaterMAE:
    """How wide and deep should encoders, shared layers and decoders be, and what should decoders and FiLM see?"""
    base = PRESETS["small"]
    image_depth, vector_depth = (trial.suggest_int(f"{kind}_depth", *most) for kind, most in DEPTHS.items())
    model = ModelKnobs(
        dim=trial.suggest_categorical("dim", [32, 48, 64, 96]),
        num_heads=trial.suggest_categorical("num_heads", [2, 4, 8]),
        image_depth=image_depth,
        vector_depth=vector_depth,
        shared_depth=trial.suggest_int("shared_depth", 0, 4),
        dropout=trial.suggest_float("dropout", 0.0, 0.3),
        decoder_dim=trial.suggest_categorical("decoder_dim", [16, 32, 64]),
        decoder_num_heads=trial.suggest_categorical("decoder_num_heads", [2, 4, 8]),
        decoder_depth=trial.suggest_int("decoder_depth", 1, 8),
        **_film(trial),
        **_decoder(trial, min(image_depth, vector_depth)),
    )
    lr = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    return base.model_copy(
        update={
            "dataset": "gb-hydrology",
            "data": DataKnobs(sequence_length=4, stride=4, evaluation_stride=4),
            "model": model,
            "optimization": base.optimization.model_copy(update={"lr": lr}),
        }
    )


def _film(trial: Trial) -> dict[str, Any]:
    mode = trial.suggest_categorical("film_mode", ["tanh", "one_plus", "none"])
    if mode == "none":
        return {"film_mode": mode}
    return {
        "film_mode": mode,
        "film_scope": trial.suggest_categorical("film_scope", ["per_patch", "global"]),
    }


def _decoder(trial: Trial, depth: int) -> dict[str, Any]:
    """Asks how decoders read.

    Args:
        trial: Whom to ask.
        depth: Layers that every encoder has.
    """
    if trial.suggest_categorical("decoder_type", ["cross", "self"]) == "self":
        return {"decoder_type": "self"}
    knobs: dict[str, Any] = {
        "decoder_self_attention": trial.suggest_categorical("decoder_self_attention", [False, True])
    }
    maps = trial.suggest_categorical("feature_maps", ["last", "every second", "all"])
    if maps == "last":
        return knobs
    layers = None if maps == "all" else tuple(range(0, depth, 2))
    return knobs | {
        "weighted_feature_maps": True,
        "feature_map_layers": layers,
        "feature_map_input": trial.suggest_categorical("feature_map_input", [False, True]),
    }
