"""Expected improvement at the end of the budget, and the point where it is largest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thalweg.search.store.curves.unit_cube import Array, Flags, UnitCube

if TYPE_CHECKING:
    from thalweg.search.store.curves.process import CurveProcess

_NUM_RANDOM, _NUM_NEAR, _NUM_STARTS = 512, 128, 5
_NUM_TOP, _NUM_ROUND = 6, 96
_WIDTHS = (0.1, 0.05, 0.02, 0.007, 0.002)
"""Standard deviations of the moves of one round after another, as shares of a range."""


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Returns the logarithm of the expected improvement of a normal loss upon the best one; shape as given.

    Far from it, where the improvement would be 0 in floating point, its asymptote is taken (Ament et al. 2023,
    "Unexpected improvements to expected improvement", arXiv:2310.20708, equation 9).

    Args:
        mean: Expected losses.
        deviation: Their standard deviations.
        best: The best loss.
    """
    from scipy.special import erfcx, ndtr

    z = (best - mean) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    near = z > -5
    exact = np.log(np.where(near, z * ndtr(z) + density, 1.0))
    safe = np.minimum(z, -1.0)
    # phi(z) + z Phi(z) = phi(z) (1 - |z| R(|z|)), where R = Phi(z) / phi(z) is Mills' ratio
    mills = np.sqrt(np.pi / 2) * erfcx(-safe / np.sqrt(2))
    far = (
        -0.5 * safe**2 - 0.5 * np.log(2 * np.pi) + np.log(np.maximum(1 + safe * mills, 1 / (safe**2 + 3) / 2))
    )
    return np.asarray(np.where(near, exact, far) + np.log(deviation))


@dataclass(frozen=True)
class BestPoint:
    """A point and what is expected of it.

    Attributes:
        point: Where the expected improvement is largest.
        log_improvement: Logarithm of the improvement expected there.
        log_mean: That of the mean improvement over points that are drawn evenly.
    """

    point: Array
    log_improvement: float
    log_mean: float


def propose(
    process: CurveProcess,
    encoding: UnitCube,
    best: float,
    known: Array,
    random: np.random.Generator,
    *,
    rounds: int = len(_WIDTHS),
) -> BestPoint:
    """Returns the point with the largest expected improvement that a search finds.

    The search draws points evenly and near the best known ones, and moves about the best of them, closer each round.

    Args:
        process: What is expected of points.
        encoding: The points' parameters.
        best: The best loss, as the process scales it.
        known: Points of trials, the best first; shape (points, parameters).
        random: Source of randomness.
        rounds: Rounds of moves, of 5.
    """

    def values(points: Array) -> Array:
        return log_expected_improvement(*process.ends(encoding.features(points)), best)

    are_choices = encoding.are_choices
    even = random.random((_NUM_RANDOM, len(are_choices)))
    near = [_moved(known[:_NUM_STARTS], are_choices, width, _NUM_NEAR, random) for width in (0.2, 0.05)]
    points = np.concatenate([even, *near])
    found = values(points)
    log_mean = float(np.logaddexp.reduce(found[:_NUM_RANDOM]) - np.log(_NUM_RANDOM))
    for width in _WIDTHS[:rounds]:
        top = points[np.argsort(-found, kind="stable")[:_NUM_TOP]]
        moved = _moved(top, are_choices, width, _NUM_ROUND, random)
        points, found = np.concatenate([points, moved]), np.concatenate([found, values(moved)])
    best_index = int(np.argmax(found))
    return BestPoint(points[best_index], float(found[best_index]), log_mean)


def _moved(points: Array, are_choices: Flags, width: float, count: int, random: np.random.Generator) -> Array:
    """Returns points about some: numbers move by a normal step and are reflected at the ends, few choices change."""
    found = points[random.integers(len(points), size=count)]
    num = max(1, found.shape[1])
    moves = random.random(found.shape) < max(0.5, 1.5 / num)
    steps = np.where(moves & ~are_choices, width * random.standard_normal(found.shape), 0.0)
    changes = (random.random(found.shape) < 0.5 / num) & are_choices
    found = np.where(changes, random.random(found.shape), found + steps)
    return np.clip(np.where(found < 0, -found, np.where(found > 1, 2 - found, found)), 0.0, 1.0)
