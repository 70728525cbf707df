"""Which inputs, views, encoder, fusion, losses and schedule tell scenes apart best?

Everything that the family can be varied in, on a tenth of the tiny world's training scenes: with all of them most
configurations make no error. Ranges are those of the experiments that it follows, except: learning rates reach 0.01
with AdamW, for its networks are narrow, and batches end at 32 of about 40 scenes.
"""

from typing import Any

from thalweg.study import Study, Trial
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon

study = Study(
    metric="macro_recall",
    mode="max",
    samples=6144,
    num_trials=96,
    num_evaluations=8,
    min_samples=3072,
    seed=1,
)

SCENARIOS = ["s1", "s2", "s1s2", "s1s2_fused"]
FUSIONS = ["concat", "mean", "gated", "attention"]
BACKBONES = ["shared", "dual", "resnet18", "resnet50", "swin_t", "prototypes"]


def space(trial: Trial) -> SentinelSupCon:
    scenario = trial.suggest_categorical("scenario", SCENARIOS)
    pretraining = _pretraining(trial, alone=scenario in ("s1", "s2"))
    model: dict[str, Any] = {
        "scenario": scenario,
        # Prototypes are learnt in pre-training alone, and a space asks every trial the same list.
        "backbone": trial.suggest_categorical("pretrained_backbone", BACKBONES)
        if pretraining
        else trial.suggest_categorical("backbone", BACKBONES[:-1]),
        "embedding_dim": trial.suggest_categorical("embedding_dim", [32, 64, 128, 256]),
    }
    if scenario == "s1s2_fused":
        model["fusion"] = trial.suggest_categorical("fusion", FUSIONS)
    if model["backbone"] == "prototypes":
        model["num_prototypes"] = trial.suggest_categorical("num_prototypes", [100, 300, 1000])
        pretraining["ot_weight"] = trial.suggest_float("ot_weight", 0.01, 1.0, log=True)
    views = _views(trial, paired=len(scenario) > 2, needed=pretraining.get("views", False))
    return PRESETS["tiny"].vary(
        data={
            "data_ratio": 0.1,
            "scaling": trial.suggest_categorical("scaling", ["physical", "image_max"]),
            "balanced": not pretraining and trial.suggest_categorical("balanced", [False, True]),
        },
        views=views,
        model=model,
        pretraining=pretraining,
        tuning=_tuning(trial, learnt=bool(pretraining), several=views.get("augment", True)),
        optimization=_optimization(trial),
    )


def _views(trial: Trial, paired: bool, needed: bool) -> dict[str, Any]:
    if not needed and not trial.suggest_categorical("augment", [True, False]):
        return {"augment": False}
    views = {
        "min_crop": trial.suggest_float("min_crop", 0.5, 0.99),
        "flip": trial.suggest_categorical("flip", [True, False]),
        "rotation": trial.suggest_float("rotation", 0.0, 45.0),
    }
    if paired:
        views["paired_geometry"] = trial.suggest_categorical("paired_geometry", [True, False])
    return views


def _pretraining(trial: Trial, alone: bool) -> dict[str, Any]:
    if not trial.suggest_categorical("pretrained", [False, True]):
        return {}
    views = alone or trial.suggest_categorical("views", [True, False])
    pretraining: dict[str, Any] = {
        "share": trial.suggest_float("share", 0.1, 0.5),
        "temperature": trial.suggest_float("pretraining_temperature", 0.05, 0.5, log=True),
        "negatives": trial.suggest_categorical("negatives", [False, True]),
        "views": views,
    }
    if views and not alone:
        pretraining["loss"] = trial.suggest_categorical("pretraining_loss", ["nt_xent", "pairwise"])
    return pretraining


def _tuning(trial: Trial, learnt: bool, several: bool) -> dict[str, Any]:
    tuning: dict[str, Any] = {"head_lr_scale": trial.suggest_float("head_lr_scale", 0.1, 100.0, log=True)}
    if learnt and trial.suggest_categorical("mode", ["full", "linear"]) == "linear":
        return {**tuning, "mode": "linear", "sup_delta": 0.0}
    if not trial.suggest_categorical("supcon", [True, False]):
        return {**tuning, "sup_delta": 0.0}
    if several:  # without augmentation a scene has one view, which is its anchor
        tuning["contrast"] = trial.suggest_categorical("contrast", ["all", "one"])
    return {
        **tuning,
        "sup_delta": trial.suggest_float("sup_delta", 0.01, 10.0, log=True),
        "temperature": trial.suggest_float("temperature", 0.03, 0.5, log=True),
    }


def _optimization(trial: Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("optimizer", ["adamw", "sgd"])
    decays = trial.suggest_categorical("decays", [False, True])
    optimization = {
        "optimizer": kind,
        "lr": trial.suggest_float(
            f"{kind}_lr", *((1e-5, 1e-2) if kind == "adamw" else (1e-4, 0.1)), log=True
        ),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True) if decays else 0.0,
        "batch_size": trial.suggest_categorical("batch_size", [8, 16, 32]),
    }
    return (
        optimization
        if kind == "adamw"
        else {**optimization, "momentum": trial.suggest_float("momentum", 0, 0.95)}
    )
