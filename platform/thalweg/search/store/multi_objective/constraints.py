"""The constraints of a study: bounds of metrics and costs, which trials keep or break."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.contract import Mode
from thalweg.study import Study


@dataclass(frozen=True)
class Constraints:
    """Bounds of metrics and costs; a trial without the value of one breaks it.

    Attributes:
        at_most: Largest values by name.
        at_least: Smallest values by name.
    """

    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_study(cls, study: Study) -> Constraints:
        """Returns the constraints of a study."""
        return cls(study.at_most, study.at_least)

    @classmethod
    def of_definition(cls, definition: Mapping[str, Any]) -> Constraints:
        """Returns the constraints of a stored definition; an earlier version of Thalweg stored none."""
        settings = definition.get("study", {})
        return cls(settings.get("at_most", {}), settings.get("at_least", {}))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.at_most or self.at_least)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics and costs that have bounds."""
        return tuple(dict.fromkeys((*self.at_most, *self.at_least)))

    def of_names(self, names: Collection[str]) -> Constraints:
        """Returns those of some metrics and costs."""
        return Constraints(
            {name: bound for name, bound in self.at_most.items() if name in names},
            {name: bound for name, bound in self.at_least.items() if name in names},
        )

    def excess(self, metrics: Mapping[str, float]) -> dict[str, float | None]:
        """Returns by how much values lie beyond their bounds, by words such as ``cost/epoch_s at most 60``.

        It is at most 0 if the bound is kept, and None for a value that is not known. Of positive numbers it is the
        logarithm of their ratio, for costs differ by factors, else the difference relative to the bound.
        """
        return {
            words: None if name not in metrics else sign * _beyond(metrics[name], bound)
            for words, name, bound, sign in self._each()
        }

    def broken(self, metrics: Mapping[str, float]) -> str:
        """Says which bounds a trial breaks, such as ``cost/epoch_s 75.2 (at most 60)``; empty for none."""
        return ", ".join(
            f"{name} {number(metrics[name]) if name in metrics else 'unknown'} ({words.removeprefix(f'{name} ')})"
            for words, name, bound, sign in self._each()
            if name not in metrics or sign * metrics[name] > sign * bound
        )

    def __str__(self) -> str:
        """Returns the bounds in words: ``cost/epoch_s at most 60, skill at least 0.5``."""
        return ", ".join(words for words, *_ in self._each())

    def _each(self) -> Iterator[tuple[str, str, float, float]]:
        for name, bound in self.at_most.items():
            yield f"{name} at most {number(bound)}", name, bound, 1.0
        for name, bound in self.at_least.items():
            yield f"{name} at least {number(bound)}", name, bound, -1.0


def _beyond(value: float, bound: float) -> float:
    if value > 0 and bound > 0:
        return math.log(value / bound)
    return (value - bound) / (abs(bound) or 1.0)


def in_words(objectives: Mapping[str, Mode], constraints: Constraints) -> str:
    """Returns what a study looks for: ``skill (max), cost/epoch_s (min), cost/num_parameters at most 1,000,000``."""
    return ", ".join(
        filter(None, [*(f"{name} ({mode})" for name, mode in objectives.items()), str(constraints)])
    )


def number(value: float) -> str:
    """Returns a bound or a value for people: whole numbers in full, others with five digits."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.5g}"
