"""How things are called in MLflow, so that sixteen trials can be compared at a glance.

What the space searched keeps its own name, for MLflow shows little of a long one, and comes first: a run's
page lists in the order of recording. The resolved configuration follows as ``with/optimization.lr``.

A name that MLflow takes stays. One that has to be changed ends in a digest of what it was, so that ``lr (max)``
and ``lr [max]`` stay two, in every session the same two; the tag ``name/...`` says what it was.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000

LONGEST_EXPERIMENT_TAG = 20000

_CONFIG = "with/"
_ORIGINAL = "name/"
_OWN_METRICS = ("objective", "samples")  # of trials, beside those of the family
_OWN_GROUPS = ("time/", "train/", "loss/", "weight/")
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # letters of any alphabet are allowed, as in MLflow's own check
_DIGITS = 8


def key(name: str, *, taken: bool = False) -> str:
    """Returns a name that MLflow accepts for a parameter, metric or tag: other names get other ones.

    Args:
        name: Any name.
        taken: Whether the name has another meaning already and must be changed for that reason.
    """
    parts = [part for part in _FORBIDDEN.sub("_", name).split("/") if part not in ("", ".", "..")]
    fitting = "/".join(parts)
    if fitting == name and 0 < len(name) <= LONGEST_KEY and not taken:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    room = LONGEST_KEY - len(_ORIGINAL) - 1 - _DIGITS
    return f"{fitting[:room] or '_'}-{digest}"


def searched_key(name: str) -> str:
    """Returns the name of what the space asked for, which none of the exact configuration has."""
    return key(name, taken=name.startswith(_CONFIG))


def family_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Names a family's metrics: as they are, unless Thalweg records something else under that name."""
    return {
        key(name, taken=True) if name in _OWN_METRICS or name.startswith(_OWN_GROUPS) else name: value
        for name, value in values.items()
    }


def originals(names: Mapping[str, str]) -> dict[str, str]:
    """Returns tags that say what names were, of those that had to be changed.

    Args:
        names: Original names and what became of them.
    """
    return tags({f"{_ORIGINAL}{changed}": name for name, changed in names.items() if name != changed})


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


def baseline(name: str) -> str:
    """Returns the run name of a baseline: ``baseline: climatology``."""
    return f"baseline: {name}"


def params(searched: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Returns a trial's parameters: what was searched, rounded for reading, then the exact configuration."""
    named = {searched_key(name): number(value) for name, value in searched.items()}
    named |= {key(f"{_CONFIG}{name}"): str(value) for name, value in config.items()}
    return {name: clip(value, LONGEST_PARAM) for name, value in named.items()}


def changed_params(searched: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Returns tags that say what a trial's parameters were called, of those whose name had to be changed."""
    named = {name: searched_key(name) for name in searched}
    return originals(named | {f"{_CONFIG}{name}": key(f"{_CONFIG}{name}") for name in config})


def is_altered(searched: Mapping[str, Any]) -> bool:
    """Says whether what was searched cannot be read off the parameters: a name was changed or a value cut."""
    return any(
        searched_key(name) != name or len(number(value)) > LONGEST_PARAM for name, value in searched.items()
    )


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
