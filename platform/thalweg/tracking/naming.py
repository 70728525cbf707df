"""How things are called in MLflow, so that sixteen trials can be compared at a glance.

What the space searched keeps its own name, for MLflow shows little of a long one, and comes first: a run's
page lists in the order of recording. The resolved configuration follows as ``with/optimization.lr``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000

_FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)


def key(name: str) -> str:
    """Returns a name that MLflow accepts for a parameter, metric or tag."""
    parts = [part for part in _FORBIDDEN.sub("_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:LONGEST_KEY] or "_"


def clip(value: object, longest: int) -> str:
    """Returns a value as text that fits; a longer one ends in ``...``."""
    text = str(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def quotable(text: str) -> str:
    """Returns text without the quote that ends a string in MLflow's filters."""
    return text.replace("'", "_")


def number(value: object) -> str:
    """Returns a value as people read it: floats at five significant digits, the rest as it is."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def trial(num: int) -> str:
    """Returns the run name of a trial: ``trial 007``."""
    return f"trial {num:03d}"


def baseline(name: str) -> str:
    """Returns the run name of a baseline: ``baseline: climatology``."""
    return f"baseline: {name}"


def params(searched: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Returns a trial's parameters: what was searched, rounded for reading, then the exact configuration."""
    named = {key(name): number(value) for name, value in searched.items()}
    named |= {key(f"with/{name}"): str(value) for name, value in config.items()}
    return {name: clip(value, LONGEST_PARAM) for name, value in named.items()}


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a flat configuration as it is nested, which `thalweg.config.parse` reads."""
    tree: dict[str, Any] = {}
    for name, value in config.items():
        *groups, leaf = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[leaf] = value
    return tree


def plain_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns a study's settings as parameters under their own names."""
    return {key(name): clip(value, LONGEST_PARAM) for name, value in values.items()}


def settings(searched: Mapping[str, Any]) -> str:
    """Returns what was searched on one line: ``lr=0.0003, batch_size=16``."""
    return ", ".join(f"{name}={number(value)}" for name, value in searched.items())


def tags(values: Mapping[str, str]) -> dict[str, str]:
    """Returns tags with names and values that MLflow accepts; empty values are left out."""
    return {key(name): clip(value, LONGEST_TAG) for name, value in values.items() if str(value)}


def curve_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Names a point of a training curve: ``loss/precipitation`` as it is, ``lr`` as ``train/lr``."""
    return {name if "/" in name else f"train/{name}": value for name, value in values.items()}


def time_metrics(timings: Mapping[str, float]) -> dict[str, float]:
    """Names seconds: ``train`` or ``train_s`` becomes ``time/train_s``."""
    return {f"time/{name.removesuffix('_s')}_s": value for name, value in timings.items()}


def finite(values: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """Splits metrics into the finite ones and the names of the others.

    MLflow turns an infinity into 1.8e308, which ruins every chart.
    """
    kept = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return kept, [name for name in values if name not in kept]
