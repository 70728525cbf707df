"""Soft ranking: trials that differ by no more than the noise between neighbouring evaluations are tied.

Learning curves may cross once, as one trial learns faster than another. A pair whose order changes from one evaluation
to the next and back again differs by noise. As in PASHA (Bohdal et al., arXiv:2207.06940, section 4.2), trials are tied
within a high percentile of the differences of such pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

if TYPE_CHECKING:  # reading a study must not wait for this import
    from optuna.trial import FrozenTrial

PERCENTILE = 90
"""Percentile of the differences, as in the paper."""
MAX_CURVES = 64
"""Newest curves that are compared pair by pair."""


def margin(trials: Sequence[FrozenTrial], rung: int) -> float:
    """Returns the difference of two trials at a rung up to which they are tied; 0 if no pair shows noise.

    Args:
        trials: Trials of a study, an interrupted one and those that continue it as one.
        rung: Samples at the rung, which is one of three neighbouring evaluations.
    """
    windows: dict[tuple[int, ...], list[tuple[float, ...]]] = {}
    for trial in trials:
        for steps, values in _around(trial, rung):
            windows.setdefault(steps, []).append(values)
    found = np.concatenate([np.zeros(0), *map(_of_crossing_pairs, windows.values())])
    return float(np.percentile(found, PERCENTILE)) if len(found) else 0.0


def _around(trial: FrozenTrial, rung: int) -> Iterator[tuple[tuple[int, ...], tuple[float, ...]]]:
    """Yields each three neighbouring evaluations of a trial, the rung among them: their samples and their values."""
    curve = sorted(trial.intermediate_values.items())
    for (first, second), (_, third) in pairwise(pairwise(curve)):
        steps = (first[0], second[0], third[0])
        if rung in steps:
            yield steps, (first[1], second[1], third[1])


def _of_crossing_pairs(windows: Sequence[tuple[float, ...]]) -> Float64[np.ndarray, " pair"]:
    """Returns the last differences of the pairs whose order changes there and back."""
    values = np.array(windows[-MAX_CURVES:])
    one, other = np.triu_indices(len(values), 1)
    apart = values[one] - values[other]
    crosses = (apart[:, :-1] * apart[:, 1:] < 0).all(axis=1)
    return np.asarray(np.abs(apart[crosses, -1]), np.float64)
