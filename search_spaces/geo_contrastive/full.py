"""Which views, pairs, objective, architecture, stages and schedule reconstruct weather best?

Everything that the representation can be varied in, on the small synthetic weather. Ranges are those of the experiment
that the family follows (issue 12), except: latents from 64 numbers on, for a field of the small world has 2,560;
gaps of soft negatives end at 1,000 days, for its training split has about 1,300; batches are powers of two around the
published 42 to 341 days; learning rates reach 0.01, for its networks are narrow; one rate is asked with a factor for
each further stage. Heads are powers of two, which divide every latent.
"""

from typing import Any

from thalweg.knobs.subspaces import fusion, optimizer
from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.knobs import cap_of

study = Study(
    metric="rrmse", mode="min", samples=131072, num_trials=96, num_evaluations=8, min_samples=65536, seed=1
)

OBJECTIVES = ["simclr", "barlow", "supcon", "simclr_supcon", "simclr_barlow", "autoencoder"]
NORMS = ["batch", "instance", "group8", "group16", "group32", "layer", "none"]
FUSIONS = ["early", "average", "self_attention", "gcn", "gat", "cross_attention"]
MAX_MICRO_BATCH = 64  # so that memory does not limit the batch
MAX_CONTRASTIVE_SHARE = 1.5  # so that the decoder has trained before the first rung, at half of the budget


def space(trial: Trial) -> GeoContrastive:
    kind = trial.suggest_categorical("objective", OBJECTIVES)
    parts: dict[str, Any] = {
        "views": _views(trial),
        "encoder": _encoder(trial),
        "decoder": _decoder(trial),
        "objective": {"kind": kind} | _penalties(trial),
        "optimization": optimizer(
            trial,
            batch_size=[16, 32, 64, 128, 256],
            lr=(1e-5, 1e-2),
            weight_decay=(1e-7, 1e-2),
            max_micro_batch=MAX_MICRO_BATCH,
        ),
        "ghost_batch_norm": True,  # of micro-batches, as memory has it; equal in all trials of 64 samples and more
    }
    if kind != "autoencoder":
        parts["objective"] |= _objective(trial, kind)
        parts |= {"stages": _stages(trial), "pairs": _pairs(trial, kind)}
    return PRESETS["small"].vary(**parts)


def _views(trial: Trial) -> dict[str, Any]:
    low = trial.suggest_float("mask_low", 0.1, 0.9)
    noise: dict[str, Any] = {}
    if trial.suggest_categorical("noisy", [False, True]):
        noise["noise"] = trial.suggest_float("noise", 0.01, 0.5, log=True)
        noise["noise_kind"] = trial.suggest_categorical("noise_kind", ["white", "matern"])
    return {
        "mask_low": low,
        "mask_high": low + (0.95 - low) * trial.suggest_float("mask_width", 0.0, 1.0),
        "mode_drop": trial.suggest_float("mode_drop", 0.0, 0.5),
        "crop": trial.suggest_float("crop", 0.7, 1.0),
        "smooth": trial.suggest_categorical("smooth", [1, 3, 5]),
        "cutout": trial.suggest_float("cutout", 0.0, 0.5),
        **noise,
    }


def _pairs(trial: Trial, objective: str) -> dict[str, Any]:
    pairs: dict[str, Any] = {"max_delta": trial.suggest_int("max_delta", 1, 10, log=True)}
    if "simclr" in objective:
        pairs["decay"] = trial.suggest_float("decay", 0.01, 1.0, log=True)
        pairs["hard_negatives"] = trial.suggest_categorical("hard_negatives", [False, True])
        pairs["soft_negatives"] = trial.suggest_categorical("soft_negatives", [False, True])
        if pairs["soft_negatives"]:
            pairs["soft_gap"] = trial.suggest_int("soft_gap", 180, 1000, log=True)
    return pairs


def _encoder(trial: Trial) -> dict[str, Any]:
    fused = fusion(
        trial,
        PRESETS["small"].encoder.fusion,
        FUSIONS,
        heads=[1, 2, 4, 8],
        layers=range(1, 4),
        adjacency=["physical", "full", "learned"],
    )
    return {
        "latent_dim": trial.suggest_categorical("latent_dim", [64, 128, 256, 512, 1000]),
        "norm": trial.suggest_categorical("encoder_norm", NORMS),
        "positions": trial.suggest_categorical("positions", [False, True]),
        "linear": trial.suggest_categorical("linear_encoder", [False, True]),
        "patterns": trial.suggest_categorical("patterns", [0, 32, 64, 128]),
        "fusion": fused,
    }


def _decoder(trial: Trial) -> dict[str, Any]:
    opposed = trial.suggest_categorical("opposed", [False, True])
    return {
        "adversary_weight": trial.suggest_float("adversary_weight", 1e-3, 0.3, log=True) if opposed else 0.0,
        "kind": trial.suggest_categorical("decoder", ["deconvolution", "residual", "improved"]),
        "norm": trial.suggest_categorical("decoder_norm", NORMS),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "linear": trial.suggest_categorical("linear_decoder", [False, True]),
    }


def _objective(trial: Trial, kind: str) -> dict[str, Any]:
    objective: dict[str, Any] = {
        "projection_dim": trial.suggest_categorical("projection_dim", [64, 128, 256, 512]),
        "projector_norm": trial.suggest_categorical("projector_norm", ["batch", "layer"]),
        "cycle": trial.suggest_categorical("cycle", ["off", "projection", "latent"]),
    }
    if objective["cycle"] != "off":
        objective["cycle_weight"] = trial.suggest_float("cycle_weight", 0.01, 10.0, log=True)
    if "simclr" in kind or "supcon" in kind:
        objective["temperature"] = trial.suggest_float("temperature", 0.02, 0.7, log=True)
    if "simclr" in kind:
        objective["weighted_negatives"] = trial.suggest_categorical("weighted_negatives", [False, True])
    if "barlow" in kind:
        objective["off_diagonal"] = trial.suggest_float("off_diagonal", 1e-4, 0.1, log=True)
    if "_" in kind:
        objective["second_weight"] = trial.suggest_float("second_weight", 0.05, 5.0, log=True)
    return objective


def _penalties(trial: Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("penalty", ["none", "latent_l1", "latent_l2"])
    return {} if kind == "none" else {kind: trial.suggest_float(f"{kind}_weight", 1e-8, 1e-4, log=True)}


def _stages(trial: Trial) -> dict[str, Any]:
    mode = trial.suggest_categorical("decoder_mode", ["joint", "frozen", "joint_then_frozen"])
    stages: dict[str, Any] = {
        "decoder_mode": mode,
        "contrastive_share": 100
        * trial.suggest_float("contrastive_share", 0.3, MAX_CONTRASTIVE_SHARE, log=True),
    }
    if mode != "frozen":
        floor = trial.suggest_float("floor", 0.0, 0.3)
        stages["joint_lr_scale"] = trial.suggest_float("joint_lr_scale", 0.1, 10.0, log=True)
        start = trial.suggest_float("start", 0.5, 1.0)
        half_point = trial.suggest_float("half_point", 0.02, 2.0, log=True)
        cap = cap_of(start, half_point, floor, trial.suggest_float("cap_above_end", 0.0, 0.5))
        stages["alpha"] = {"start": start, "half_point": half_point, "floor": floor, "cap": cap}
    if mode != "joint":
        stages["decoder_lr_scale"] = trial.suggest_float("decoder_lr_scale", 0.1, 10.0, log=True)
    return stages
