"""Two options of a parameter at equal numbers of model parameters: an analysis of covariance.

An option that comes with a larger model may win by its size. The values of the trials of both are explained by the
option and the logarithm of the number of parameters, by least squares, over those trials whose numbers of parameters
both options have. The difference between the options is then one at equal size. Where the options share no sizes,
nothing is said: a line that is drawn on beyond its points tells nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thalweg.contract import Mode
from thalweg.wording import counted

MIN_TRIALS = 4
"""Trials of each option, of sizes that both have; fewer tell nothing."""
ERROR = 0.05
"""Probability that one of the intervals misses its difference, over all options."""
Sized = tuple[float, float]
"""Number of parameters, and value of the objective."""


@dataclass(frozen=True, kw_only=True)
class AtEqualParameters:
    """An option beside another one at equal numbers of parameters.

    Attributes:
        option: The option.
        better_by: Mean by which it is better than that one; None if it cannot be told.
        interval: Its interval, simultaneous over all options.
        sizes: Smallest and largest number of parameters that both have.
        num_trials: Trials of both in between.
        why_not: Why it cannot be told; empty if it can.
    """

    option: str
    better_by: float | None = None
    interval: tuple[float, float] | None = None
    sizes: tuple[float, float] | None = None
    num_trials: int = 0
    why_not: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def at_equal_parameters(
    option: str, first: Sequence[Sized], other: Sequence[Sized], mode: Mode, num_options: int
) -> AtEqualParameters:
    """Compares an option with another one at equal numbers of parameters.

    Args:
        option: The option.
        first: Complete trials of the first option.
        other: Complete trials of this one.
        mode: Whether smaller or larger values are better.
        num_options: Options that are compared with the first one, over which intervals are simultaneous.
    """
    if not first or not other:
        return AtEqualParameters(option=option, why_not="no complete trial has a number of parameters")
    low = max(min(size for size, _ in each) for each in (first, other))
    high = min(max(size for size, _ in each) for each in (first, other))
    kept = [[(size, value) for size, value in each if low <= size <= high] for each in (first, other)]
    if low > high or not all(kept):
        return AtEqualParameters(option=option, why_not="no number of parameters is that of both")
    sizes, num_trials = (low, high), sum(map(len, kept))
    if min(map(len, kept)) < MIN_TRIALS:
        fewest = counted(min(map(len, kept)), "trial")
        why = f"only {fewest} of one of them with {between(sizes)} parameters, which both have"
        return AtEqualParameters(option=option, sizes=sizes, num_trials=num_trials, why_not=why)
    better_by, reach = _difference(kept[0], kept[1], ERROR / max(1, num_options))
    sign = 1.0 if mode == "max" else -1.0
    return AtEqualParameters(
        option=option,
        better_by=sign * better_by,
        interval=(sign * better_by - reach, sign * better_by + reach),
        sizes=sizes,
        num_trials=num_trials,
    )


def between(sizes: tuple[float, float]) -> str:
    """Writes a range of numbers of parameters: ``226``, or ``27.1k to 2.4M``."""
    low, high = map(_size, sizes)
    return low if low == high else f"{low} to {high}"


def _size(number: float) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 10 * factor or (unit != "k" and number >= factor):
            return f"{number / factor:.3g}{unit}"
    return f"{number:,.0f}"


def _difference(first: Sequence[Sized], other: Sequence[Sized], error: float) -> tuple[float, float]:
    """Returns by how much the values of the second are larger at equal sizes, and half the width of the interval."""
    from scipy.stats import t as student  # a second that other tables need not wait for

    both = np.array([*first, *other])
    is_other = np.repeat([0.0, 1.0], [len(first), len(other)])
    size = np.log(both[:, 0])
    columns = [np.ones(len(both)), is_other]
    if np.ptp(size) > 0:  # else they are of one size, and nothing is left to explain by it
        columns.append(size - size.mean())
    design = np.stack(columns, axis=1)
    inverse = np.linalg.pinv(design.T @ design)
    fitted = inverse @ design.T @ both[:, 1]
    freedom = len(both) - design.shape[1]
    variance = float(np.sum((both[:, 1] - design @ fitted) ** 2)) / freedom
    reach = float(student.isf(error / 2, freedom)) * math.sqrt(variance * float(inverse[1, 1]))
    return float(fitted[1]), reach
