"""Expected improvement of the best value by the next trials, from the values of those so far.

Take the loss of n trials as draws in any order. The expected best of m of them, averaged over all choices, is

    M(m) = sum over k of x_(k) C(n - k, m - 1) / C(n, m),

where x_(k) is the k-th smallest loss: exact, without an assumption on the distribution. What later trials bring
shrinks as a power of their number: M(m) = a + c m^-s, as for minima of draws from a distribution with a lower bound
(Fisher and Tippett 1928, Eq. 4; s = 1 for a uniform one), and, over a factor of two, nearly so for others. Two
doublings, M(n/4) - M(n/2) and M(n/2) - M(n), give c and s, and thereby M(n) - M(n + N).

A sampler that learns draws from ever better distributions. So only its latest trials are drawn from, three times as
many as are looked ahead. If an earlier trial is better than all of them, M is followed to the number of draws at which
it reaches that trial's loss; what improves on the best trial of all is counted from there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

MIN_TRIALS = 8
"""Trials below which nothing is estimated."""
_WINDOW = 3
_MIN_POWER, _MAX_POWER = 0.05, 4.0
"""Bounds of s: a few values can suggest a best that never shrinks, or one that does so at once."""


def expected_improvement(losses: Sequence[float | None], num_next: int) -> float | None:
    """Returns by how much the best loss is expected to fall within the next trials; None if too few trials ended.

    Args:
        losses: The loss of each trial that ended, in the order in which they began; None if it was stopped early or
            failed, which counts as the worst.
        num_next: Number of trials to come.
    """
    known = [loss for loss in losses if loss is not None]
    if len(losses) < max(MIN_TRIALS, num_next) or len(known) < 2:
        return None
    latest = losses[-max(MIN_TRIALS, _WINDOW * num_next) :]
    drawn = np.sort(np.array([max(known) if loss is None else loss for loss in latest]))
    count = len(drawn)
    few, half, every = (_best_of(drawn, size) for size in (count // 4, count // 2, count))
    gain, before = half - every, few - half
    if gain <= 0:
        return 0.0
    power = float(np.clip(np.log2(before / gain), _MIN_POWER, _MAX_POWER)) if before > 0 else _MAX_POWER
    reach = gain / (2**power - 1)  # from the best of the latest trials to the limit of the best
    left = reach - (every - min(known))  # from the best of all trials to that limit
    if left <= 0:
        return 0.0
    draws = count * (reach / left) ** (1 / power)  # with which the best of all would be expected
    return float(left * (1 - (1 + num_next / draws) ** -power))


def _best_of(drawn: Float64[np.ndarray, " trial"], size: int) -> float:
    """Returns the expected smallest of so many of some values, ascending, over all choices of them."""
    chances = np.zeros(len(drawn))
    left = 1.0  # chance that all chosen values are larger than those before
    for place in range(len(drawn) - size + 1):
        first = size / (len(drawn) - place)
        chances[place] = left * first
        left *= 1 - first
    return float(chances @ drawn)
