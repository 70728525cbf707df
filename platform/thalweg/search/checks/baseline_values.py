"""What the baselines of a study score, and whether its objective can tell models apart there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from thalweg.contract import Data, Task
from thalweg.search.checks.examined import ALONE, Examined, disturbed
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.training.evaluation import evaluate_split

MAX_SAMPLES = 256
"""Samples of ``val`` on which predictors are scored, if there is time."""
MIN_SAMPLES = 32
"""The same, however slow the model is."""
_NUM_SCORED = 12  # untrained models and baselines of a family, about
_BATCH = 32
_NUM_UNTRAINED = 3
_NEARLY = 0.01
"""A baseline this close to the best possible value leaves no room above it."""


def judge_baselines(examined: Examined, deadline: Deadline) -> Judgement:
    """Scores untrained models and the family's baselines by the study's objective."""
    prepared = examined.prepared
    task = examined.task(prepared.config)
    data = examined.data(task)
    name = prepared.metric.name
    if slow := examined.too_slow(MIN_SAMPLES, deadline.left):
        return Judgement(check="baselines", told="none scored", skipped=(slow,))
    untrained: list[float] = []
    found: dict[str, float] = {}
    skipped: list[str] = []
    count = _affordable(task, data, name, deadline)
    for seed in range(_NUM_UNTRAINED):
        model = _untrained(task, data, seed)
        untrained += _scored(task, data, disturbed(model) if seed else model, name, count)
        if deadline.has_passed:
            break
    for baseline, predictor in ({} if deadline.has_passed else task.baselines(data)).items():
        if deadline.has_passed:
            skipped.append(baseline)
            continue
        if values := _scored(task, data, predictor, name, count):
            found[baseline] = values[0]
    if deadline.has_passed and not found and not skipped:
        skipped.append("all baselines")
    scores = ({"untrained": untrained[0]} if untrained else {}) | found
    listed = ", ".join(f"{each} {value:.4g}" for each, value in scores.items())
    part = f", on {count} samples of val" if data.num_samples("val") > count else ""
    return Judgement(
        check="baselines",
        warnings=tuple(_saturated(name, prepared.metric.mode, untrained, found)),
        told=f"{listed or 'none gives the objective'}{part}",
        skipped=(f"for time: {', '.join(skipped)}",) if skipped else (),
        numbers={"metric": name, **scores},
    )


def _untrained(task: Task[Any, Any], data: Data, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = task.build(task.facts(data))
    return model


def _affordable(task: Task[Any, Any], data: Data, metric: str, deadline: Deadline) -> int:
    """Returns how many samples of ``val`` a model can be scored on so often that the baselines have time, too."""
    began, left = time.monotonic(), deadline.left
    _scored(task, data, _untrained(task, data, 0), metric, MIN_SAMPLES)
    seconds = (time.monotonic() - began) / MIN_SAMPLES
    return max(MIN_SAMPLES, min(MAX_SAMPLES, int(left / _NUM_SCORED / max(seconds, 1e-9))))


def _scored(task: Task[Any, Any], data: Data, predictor: nn.Module, metric: str, count: int) -> list[float]:
    metrics = evaluate_split(
        task,
        data,
        partial(task.predict, predictor.eval()),
        ALONE,
        split="val",
        batch_size=_BATCH,
        max_samples=count,
        is_baseline=True,
    )
    return [metrics[metric]] if metric in metrics else []


def _saturated(metric: str, mode: str, untrained: list[float], found: Mapping[str, float]) -> Iterator[str]:
    if len(untrained) == _NUM_UNTRAINED and len({*untrained, *found.values()}) == 1:
        yield (
            f"{metric} cannot tell trials apart: {_NUM_UNTRAINED} models with other random weights"
            f"{' and all baselines' if found else ''} score {untrained[0]:.6g}; it saturates there, or the data lack "
            "what it measures"
        )
    best = (max if mode == "max" else min)(found, key=lambda name: found[name], default="")
    if best and untrained and _is_perfect(found[best], mode, untrained[0]):
        yield (
            f"the baseline {best} scores {found[best]:.4g} in {metric}, which leaves no room for a better trial; take "
            "harder data or another metric"
        )


def _is_perfect(value: float, mode: str, untrained: float) -> bool:
    """Returns whether a value is near the best possible: 1 of a share or a skill, 0 of an error."""
    if mode == "max":
        return 1 - _NEARLY <= value <= 1 and untrained < value
    return 0 <= value <= _NEARLY * untrained
