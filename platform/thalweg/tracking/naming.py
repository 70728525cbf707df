"""Names of runs, parameters, metrics and tags in MLflow, chosen so that sixteen trials compare at a glance.

Searched parameters keep their short names, for MLflow shows little of a long one. They come first, for a run's
page lists in the order of recording. The resolved configuration follows as ``with/optimization.lr``.

A name that MLflow accepts stays. A changed name ends in a digest of the original, so that ``lr (max)``
and ``lr [max]`` stay two names, the same in every session. The tag ``name/...`` holds the original.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thalweg.events import StudyEnded

MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000

MAX_EXPERIMENT_TAG_LENGTH = 20000

_CONFIG = "with/"
_ORIGINAL = "name/"
_OWN_METRICS = ("objective", "samples")  # of trials, beside those of the family
_OWN_GROUPS = ("time/", "train/", "loss/", "weight/", "rung_correlation/", "hypervolume/")
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # letters of any alphabet are allowed, as in MLflow's own check
_DIGITS = 8
_CHANGED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}$")


def key(name: str, *, taken: bool = False) -> str:
    """Returns a name that MLflow accepts for a parameter, metric or tag; different names stay different.

    Args:
        name: Any name.
        taken: Whether the name must be changed because it has another meaning already.
    """
    parts = [part for part in _FORBIDDEN.sub("_", name).split("/") if part not in ("", ".", "..")]
    fitting = "/".join(parts)
    if fitting == name and 0 < len(name) <= MAX_KEY_LENGTH and not taken:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    room = MAX_KEY_LENGTH - len(_ORIGINAL) - 1 - _DIGITS
    return f"{fitting[:room] or '_'}-{digest}"


def searched_key(name: str) -> str:
    """Returns the name of a searched parameter; no parameter of the resolved configuration has it."""
    return key(name, taken=name.startswith(_CONFIG))


def family_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Returns a family's metrics under their own names, unless Thalweg records something else under one."""
    return {
        key(name, taken=True) if name in _OWN_METRICS or name.startswith(_OWN_GROUPS) else name: value
        for name, value in values.items()
    }


def of_family(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics of a run that are a family's, without those whose names `family_metrics` changed."""
    return {
        name: value
        for name, value in values.items()
        if name not in _OWN_METRICS and not name.startswith(_OWN_GROUPS) and not _CHANGED.search(name)
    }


def originals(names: Mapping[str, str]) -> dict[str, str]:
    """Returns tags that hold the original of each changed name.

    Args:
        names: MLflow's name by original name.
    """
    return tags({f"{_ORIGINAL}{changed}": name for name, changed in names.items() if name != changed})


def clip(value: object, max_length: int) -> str:
    """Returns a value as text of at most `max_length` letters; a longer one is cut and ends in ``...``."""
    text = str(value)
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def quotable(text: str) -> str:
    """Returns text without the quote that would end a string in MLflow's filters."""
    return text.replace("'", "_")


def number(value: object) -> str:
    """Returns a value as people read it: floats at five significant digits, the rest as it is."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def baseline(name: str) -> str:
    """Returns the run name of a baseline: ``baseline: climatology``."""
    return f"baseline: {name}"


def params(searched: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Returns a trial's parameters: the searched ones, rounded for reading, then the resolved configuration."""
    named = {searched_key(name): number(value) for name, value in searched.items()}
    named |= {key(f"{_CONFIG}{name}"): str(value) for name, value in config.items()}
    return {name: clip(value, MAX_PARAM_LENGTH) for name, value in named.items()}


def changed_params(searched: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Returns tags that hold the original name of each of a trial's parameters that had to be renamed."""
    named = {name: searched_key(name) for name in searched}
    return originals(named | {f"{_CONFIG}{name}": key(f"{_CONFIG}{name}") for name in config})


def is_altered(searched: Mapping[str, Any]) -> bool:
    """Returns whether recorded parameters differ from the searched ones: a name was changed or a value cut."""
    return any(
        searched_key(name) != name or len(number(value)) > MAX_PARAM_LENGTH
        for name, value in searched.items()
    )


def plain_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns a study's settings as parameters under their own names."""
    return {key(name): clip(value, MAX_PARAM_LENGTH) for name, value in values.items()}


def settings(searched: Mapping[str, Any]) -> str:
    """Returns the searched parameters on one line: ``lr=0.0003, batch_size=16``."""
    return ", ".join(f"{name}={number(value)}" for name, value in searched.items())


def tags(values: Mapping[str, str]) -> dict[str, str]:
    """Returns tags with names and values that MLflow accepts, without empty values."""
    return {key(name): clip(value, MAX_TAG_LENGTH) for name, value in values.items() if str(value)}


def curve_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Returns a point of a training curve as metrics: ``loss/precipitation`` as it is, ``lr`` as ``train/lr``."""
    return {name if "/" in name else f"train/{name}": value for name, value in values.items()}


def schedule_names(segments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the names of a schedule's metrics: of parameters that change between segments, then of the others."""
    rows = [schedule_metrics(params) for params in segments]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return sorted(names, key=lambda name: len({row.get(name) for row in rows}) < 2)


def schedule_metrics(params: Mapping[str, Any]) -> dict[str, float]:
    """Returns the parameters of a segment that are numbers as metrics over training: ``schedule/lr``."""
    numbers = {
        n: value for n, value in params.items() if isinstance(value, int | float) and value is not True
    }
    return {key(f"schedule/{name}"): float(value) for name, value in numbers.items() if value is not False}


def time_metrics(timings: Mapping[str, float]) -> dict[str, float]:
    """Returns seconds as metrics: ``train`` or ``train_s`` becomes ``time/train_s``."""
    return {f"time/{name.removesuffix('_s')}_s": value for name, value in timings.items()}


def study_metrics(event: StudyEnded, rungs: Iterable[str]) -> dict[str, float]:
    """Returns the metrics of a study that ended.

    They are its seconds, the rank correlation of some rungs with the end, and the trials that were promoted with the
    mean seconds that it cost to take one up.
    """
    found = {f"rung_correlation/{samples}": event.rung_correlations[samples] for samples in rungs}
    if event.switches:
        found["trials/promoted"] = float(len(event.switches))
        found["time/switch_s"] = statistics.fmean(event.switches.values())
    return {"time/study_s": event.seconds, **found}


def finite(values: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """Splits metrics into the finite ones and the names of the others.

    MLflow turns an infinity into 1.8e308, which ruins every chart.
    """
    kept = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return kept, [name for name in values if name not in kept]
