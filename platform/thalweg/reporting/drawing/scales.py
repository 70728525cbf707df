"""Scales of a picture's axes: where a value of a parameter or an objective lies between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.console.formatting import number
from thalweg.search.domains import ChoiceSet, Domain, NumberRange
from thalweg.wording import told_apart

_WIDE = 100
"""A range of positive values of which the largest is this many times the smallest is shown in its logarithm."""
_MAX_LABELS = 12
_REACH = 4
"""Distances of the median from the best value after which worse values are drawn at the end of the axis."""


@dataclass(frozen=True)
class Scale:
    """A scale of numbers or of options.

    Attributes:
        low: Value at 0.
        high: Value at 1.
        log: Whether it is logarithmic.
        options: Options by their exact text; empty for numbers. Each has a slot of equal size.
        shown: The options as people read them; empty if that is their exact text.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    options: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def place(self, value: Any, spread: float = 0.5) -> float:
        """Returns where a value lies, in [0, 1].

        Args:
            value: The value.
            spread: In [0, 1], where it lies in the slot of its option, so that lines through one option stay apart.
        """
        if self.options:
            slot = self.options.index(str(value))
            return (slot + 0.2 + 0.6 * spread) / len(self.options)
        if self.low == self.high:
            return 0.5
        low, high, at = (math.log(x) if self.log else float(x) for x in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def labels(self) -> list[tuple[float, str]]:
        """Returns places with their labels."""
        if self.options:
            step = -(-len(self.options) // _MAX_LABELS)
            named = zip(self.options, self.shown or self.options, strict=True)
            return [(self.place(option), text) for option, text in named][::step]
        if self.low == self.high:
            return [(0.5, number(self.low, 3))]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return [(self.place(each), number(float(each), 3)) for each in (self.low, middle, self.high)]


def scale_of(values: Sequence[Any], domain: Domain | None) -> Scale:
    """Returns the scale of a parameter: that of its range or choices, else that of the values that were tried."""
    if isinstance(domain, NumberRange) and all(domain.low <= value <= domain.high for value in values):
        return Scale(domain.low, domain.high, domain.log)
    if isinstance(domain, ChoiceSet) and {str(value) for value in values} <= set(map(str, domain.records)):
        return _of_options(domain.records)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = float(min(values)), float(max(values))
        return Scale(low, high, low > 0 and high / low >= _WIDE)
    return _of_options([value for _, value in sorted({str(value): value for value in values}.items())])


def _of_options(options: Sequence[Any]) -> Scale:
    exact, texts = tuple(map(str, options)), tuple(told_apart(options))
    return Scale(options=exact, shown=() if texts == exact else texts)


def scale_of_outcomes(values: Sequence[float], mode: str) -> tuple[Scale, int]:
    """Returns the scale of an objective, and how many values lie beyond its worse end.

    A few diverged trials would press all others together: the axis ends at `_REACH` times the distance of the median.

    Args:
        values: Finite values, at least one.
        mode: Whether smaller or larger is better.
    """
    ordered = sorted(values, reverse=mode == "max")
    best, median, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    end = best + _REACH * (median - best)
    if median == best or abs(worst - best) <= abs(end - best):
        end = worst
    beyond = sum(abs(value - best) > abs(end - best) for value in values)
    return Scale(min(best, end), max(best, end)), beyond
