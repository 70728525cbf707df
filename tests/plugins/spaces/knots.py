"""A space that asks for everything, alive or dead, and mislays some of what it asked for."""

from families.knots.config import PRESETS, Knots
from thalweg.study import Study, Trial

study = Study(metric="mse", mode="min", samples=512, num_trials=8, num_evaluations=2, num_lanes=1)

ALIVE = {"error": (0.5, 2.0), "smooth": (0.01, 1.0), "brief": (0.5, 2.0)}
DEAD = {"absent": (0.1, 10.0), "frozen": (0.1, 10.0), "detached": (0.1, 10.0), "gated": (0.1, 10.0)}


def space(trial: Trial) -> Knots:
    """Which knobs are alive?"""
    weights = {name: trial.suggest_float(f"weight_{name}", *ends) for name, ends in {**ALIVE, **DEAD}.items()}
    trial.suggest_float("forgotten", 0.0, 1.0)
    overwritten = {"blur": trial.suggest_float("overwritten", 0.0, 1.0), "width": 8} | {"blur": 0.0}
    return (
        PRESETS["tiny"]
        .vary(**overwritten)
        .vary(
            seed=trial.suggest_int("seed", 0, 3),
            width=trial.suggest_categorical("width", [8, 16]),
            depth=trial.suggest_categorical("depth", [1, 2]),
            dropout=trial.suggest_float("dropout", 0.1, 0.5),
            fusion=trial.suggest_categorical("fusion", ["mean", "attention"]),
            heads=trial.suggest_categorical("heads", [1, 2, 4]),
            loss=trial.suggest_categorical("loss", ["squared", "hinge"]),
            margin=trial.suggest_float("margin", 0.01, 0.5),
            noise=trial.suggest_float("noise", 0.0, 0.1) + round(trial.suggest_float("rounded", 0.0, 0.4)),
            late_begin=trial.suggest_float("late_begin", 0.6, 0.95),
            fade_begin=trial.suggest_float("fade_begin", 0.6, 0.9),
            temperature=trial.suggest_float("temperature", 0.01, 1.0, log=True),
            film_gain=trial.suggest_float("film_gain", 0.5, 2.0),
            scale=trial.suggest_float("scale", 0.5, 2.0),
            masked=trial.suggest_float("masked", 0.05, 0.2),
            blur=trial.suggest_float("blur", 0.0, 1.0),
            patience=trial.suggest_int("patience", 1, 5),
            second_lr_scale=min(trial.suggest_float("clipped", 2.0, 5.0), 1.0)
            * trial.suggest_float("second_lr_scale", 0.1, 10.0, log=True),
            weights=weights,
            optimization={
                "lr": trial.suggest_float("lr", 1e-3, 1e-1, log=True),
                "batch_size": trial.suggest_categorical("batch_size", [4, 8]),
                "micro_batch_size": trial.suggest_categorical("micro_batch_size", [2, 4]),
                "weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1),
                "warmup_ratio": trial.suggest_float("warmup_ratio", 1e-6, 1e-4, log=True),
                "min_lr_ratio": trial.suggest_float("min_lr_ratio", 0.0, 0.1),
                "clip_norm": trial.suggest_float("clip_norm", 0.5, 2.0),
                "beta2": trial.suggest_float("beta2", 0.9, 0.99),
            },
        )
    )
