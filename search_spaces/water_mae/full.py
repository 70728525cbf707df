"""Which masks, losses, optimizer and architecture together reconstruct Great Britain's water best?

Everything at once at the published size, for a cluster with GPUs. The length of windows and the patches stay as
published: evaluations of others could not be compared.
"""

from typing import Any

from thalweg.knobs.subspaces import masking
from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE

study = Study(metric="skill", mode="max", samples=16384, num_trials=96, num_evaluations=8, seed=1)

NUM_DAYS = 30
MAX_TOKENS = 2**17
"""Tokens of a forward pass: 16 windows of the published 7,892."""
LEAST = 0.15
WEIGHED = ("precipitation", "soil_moisture", "temperature", "evaporation")  # against a river flow of 1


def space(trial: Trial) -> WaterMAE:
    ratios = masking(trial, low=LEAST, high=0.85)
    mask_mode = trial.suggest_categorical("mask_mode", ["unified", "independent"])
    decoder_type = trial.suggest_categorical("decoder_type", ["cross", "self"])
    kept = _kept(trial, ratios) if decoder_type == "cross" else {}
    return PRESETS["reference"].vary(
        data={"sequence_length": NUM_DAYS, "stride": trial.suggest_categorical("stride", [2, 5, 10, 20])},
        masking={**ratios, "mask_mode": mask_mode, **kept},
        model=_model(trial, decoder_type),
        loss_weights={name: trial.suggest_float(f"weight_{name}", 0.1, 300.0, log=True) for name in WEIGHED},
        loss=_loss(trial),
        optimization=_optimization(trial, **ratios),
    )


def _kept(trial: Trial, ratios: dict[str, float]) -> dict[str, float]:
    """Asks which share of all patches is reconstructed, from the least to all that are hidden."""
    return {
        f"{kind}_kept_mask_ratio": LEAST
        + trial.suggest_float(f"{kind}_decoded", 0.0, 1.0) * (ratios[f"{kind}_mask_ratio"] - LEAST)
        for kind in ("image", "vector")
    }


def _model(trial: Trial, decoder_type: str) -> dict[str, Any]:
    knobs: dict[str, Any] = {
        "image_depth": trial.suggest_int("image_depth", 2, 8),
        "vector_depth": trial.suggest_int("vector_depth", 1, 6),
        "dim": trial.suggest_categorical("dim", [128, 192, 256, 384]),
        "num_heads": trial.suggest_categorical("num_heads", [4, 8, 16]),
        "shared_depth": trial.suggest_int("shared_depth", 0, 4),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "film_mode": trial.suggest_categorical("film_mode", ["tanh", "one_plus", "none"]),
        "decoder_type": decoder_type,
        "decoder_dim": trial.suggest_categorical("decoder_dim", [64, 128, 256]),
        "decoder_num_heads": trial.suggest_categorical("decoder_num_heads", [4, 8, 16]),
        "decoder_depth": trial.suggest_int("decoder_depth", 1, 8),
    }
    if knobs["film_mode"] != "none":
        knobs["film_scope"] = trial.suggest_categorical("film_scope", ["per_patch", "global"])
    if decoder_type == "cross":
        knobs |= _reading(trial, min(knobs["image_depth"], knobs["vector_depth"]))
    return knobs


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


def _loss(trial: Trial) -> dict[str, Any]:
    norm_target = trial.suggest_categorical("norm_target", [False, True])
    if not trial.suggest_categorical("contrastive", [False, True]):
        return {"norm_target": norm_target}
    return {
        "norm_target": norm_target,
        "contrastive_weight": trial.suggest_float("contrastive_weight", 1e-3, 0.1, log=True),
        "contrastive_temperature": trial.suggest_float("contrastive_temperature", 0.03, 0.2, log=True),
    }


def _optimization(trial: Trial, image_mask_ratio: float, vector_mask_ratio: float) -> dict[str, Any]:
    """Asks for the optimizer; the learning rate is that of 16 samples and grows with the root of the batch."""
    batch_size = trial.suggest_categorical("batch_size", [4, 8, 16, 32])
    lr_at_16 = trial.suggest_float("lr_at_16", 1e-5, 1e-3, log=True)
    # Few hidden patches are many tokens: memory is bounded by passes, which change the result by rounding only.
    visible = 3 * 94 * (1 - image_mask_ratio) + 2 * 76 * (1 - vector_mask_ratio)
    passes = MAX_TOKENS / (NUM_DAYS * visible)
    return {
        "precision": "bf16",
        "lr": lr_at_16 * (batch_size / 16) ** 0.5,
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
        "beta2": trial.suggest_categorical("beta2", [0.95, 0.98, 0.999]),
        "warmup_ratio": trial.suggest_float("warmup_ratio", 0.0, 0.3),
        "clip_norm": trial.suggest_float("clip_norm", 0.1, 5.0, log=True),
        "batch_size": batch_size,
        "micro_batch_size": min(batch_size, 2 ** int(passes).bit_length() // 2),
    }
