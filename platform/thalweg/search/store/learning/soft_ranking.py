"""Soft ranking: trials that differ by no more than the noise of an evaluation are tied (PASHA: arXiv:2207.06940).

The noise at a rung is estimated from neighbouring evaluations: how far the middle one of three lies from the mean of
the other two, beyond the curvature that learning curves have in common there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # reading a study must not wait for this import
    from optuna.trial import FrozenTrial

MIN_CURVES = 3
"""Curves through the same three evaluations below which their common curvature is unknown."""
_DEVIATION = 1.4826  # standard deviation of normal numbers, in medians of their absolute values


def noise(trials: Sequence[FrozenTrial], rung: int) -> float:
    """Returns the standard deviation of the noise of an evaluation near a rung; 0 while too few curves show it.

    Args:
        trials: Trials of a study, an interrupted one and those that continue it as one.
        rung: Samples at the rung.
    """
    bends: dict[tuple[int, ...], list[float]] = {}
    for trial in trials:
        for steps, bend in _bends(trial, rung):
            bends.setdefault(steps, []).append(bend)
    apart = [
        abs(bend - statistics.median(found))
        for found in bends.values()
        if len(found) >= MIN_CURVES
        for bend in found
    ]
    # The middle has the variance of the noise, the mean of the others half of it.
    return _DEVIATION * statistics.median(apart) / math.sqrt(1.5) if apart else 0.0


def margin(trials: Sequence[FrozenTrial], rung: int) -> float:
    """Returns the difference of two trials at a rung up to which they are tied: its standard deviation by noise."""
    return math.sqrt(2) * noise(trials, rung)


def _bends(trial: FrozenTrial, rung: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yields three neighbouring evaluations, the rung among them, and how far the middle one is off the other two."""
    curve = sorted(trial.intermediate_values.items())
    for (first, second), (_, third) in pairwise(pairwise(curve)):
        if rung in (first[0], second[0], third[0]):
            yield (first[0], second[0], third[0]), second[1] - (first[1] + third[1]) / 2
