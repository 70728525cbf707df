"""Parameter sets as points of a unit cube, and as features that a kernel measures distances by.

A parameter that only some trials have is known by what it hangs on: a choice that decides in all trials whether it is
there. So a point says which of its parameters are active, also where no trial has been.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
_INACTIVE = 0.5
"""Coordinate of a number that is not there: the middle, so that it moves no distance much."""


@dataclass(frozen=True)
class Condition:
    """What a parameter hangs on.

    Attributes:
        parent: Name of the parameter that decides whether it is there.
        values: Values of the parent with which it is.
    """

    parent: str
    values: frozenset[Any]


class UnitCube:
    """Points of the parameters that some trials have.

    A point has a coordinate in [0, 1] per parameter, in the order of `kinds`. Numbers lie evenly in their range, or in
    its logarithm; choice k of m lies at (k + 1/2) / m. If the range hangs on other parameters, it is that of the trial:
    no point then stands for a number that its trial cannot have.

    Args:
        trials: Trials with parameters.
    """

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        trials = tuple(trials)
        self.kinds = {name: kind for name, kind in _kinds(trials).items() if not kind.single()}
        self.moving = {name for name in self.kinds if _moves(name, trials)}
        self.conditions = _conditions([trial.params for trial in trials], self.kinds)
        self.owners = tuple(
            index
            for index, kind in enumerate(self.kinds.values())
            for _ in (kind.choices if isinstance(kind, CategoricalDistribution) else (0,))
        )

    @property
    def are_choices(self) -> Flags:
        """Whether each parameter has choices in place of a range; shape (parameters,)."""
        return np.array(
            [isinstance(kind, CategoricalDistribution) for kind in self.kinds.values()], dtype=bool
        )

    def points(self, trials: Iterable[FrozenTrial]) -> Array:
        """Returns the points of trials; shape (trials, parameters)."""
        rows = [
            [
                _coordinate(trial.distributions[name] if name in self.moving else kind, trial.params[name])
                if name in trial.params
                else _INACTIVE
                for name, kind in self.kinds.items()
            ]
            for trial in trials
        ]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.kinds))

    def params(self, point: Array) -> dict[str, Any]:
        """Returns the parameters of a point that are active there, without those whose ranges are not known yet."""
        active = self._active(point[None])
        return {
            name: value_at(kind, float(point[index]))
            for index, (name, kind) in enumerate(self.kinds.items())
            if active[name][0] and name not in self.moving
        }

    def shares(self, point: Array) -> dict[str, float]:
        """Returns where parameters whose ranges hang on others lie in them, as a share, by name."""
        return {name: float(point[index]) for index, name in enumerate(self.kinds) if name in self.moving}

    def features(self, points: Array) -> Array:
        """Returns what distances are measured by; shape (points, features), each of the parameter in `owners`.

        Numbers are rounded to values that they can have. A choice has a feature per value, so that two of them differ
        by a distance of 1. What is not active is the same for all points.
        """
        active = self._active(points)
        columns = []
        for index, (name, kind) in enumerate(self.kinds.items()):
            column = points[:, index]
            if isinstance(kind, CategoricalDistribution):
                one_hot = np.eye(len(kind.choices))[_choice(kind, column)] / math.sqrt(2)
                columns.append(np.where(active[name][:, None], one_hot, 0.0))
            else:
                rounded = column if name in self.moving else _rounded(kind, column)
                columns.append(np.where(active[name], rounded, _INACTIVE)[:, None])
        return np.concatenate(columns, axis=1)

    def _active(self, points: Array) -> dict[str, Flags]:
        """Returns by parameter which points have it."""
        names = list(self.kinds)
        found: dict[str, Flags] = {}
        for name in names:  # what a parameter hangs on is asked before it, so comes before it
            condition = self.conditions.get(name)
            if condition is None:
                found[name] = np.ones(len(points), dtype=bool)
                continue
            parent = self.kinds[condition.parent]
            assert isinstance(parent, CategoricalDistribution)
            holds = np.array([choice in condition.values for choice in parent.choices])
            chosen = _choice(parent, points[:, names.index(condition.parent)])
            found[name] = found[condition.parent] & holds[chosen]
        return found


def _moves(name: str, trials: Sequence[FrozenTrial]) -> bool:
    """Returns whether the range of a number differs between trials."""
    found = [trial.distributions[name] for trial in trials if name in trial.distributions]
    return any(kind != found[0] for kind in found) and not isinstance(found[0], CategoricalDistribution)


def _kinds(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Returns the ranges and choices of all parameters, the widest if they differ between trials."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        for name, kind in trial.distributions.items():
            found[name] = _wider(found[name], kind) if name in found else kind
    return found


def _wider(one: BaseDistribution, other: BaseDistribution) -> BaseDistribution:
    if isinstance(one, CategoricalDistribution) and isinstance(other, CategoricalDistribution):
        return max(one, other, key=lambda kind: len(kind.choices))
    if one == other or type(one) is not type(other):
        return other
    assert isinstance(one, FloatDistribution | IntDistribution) and isinstance(
        other, FloatDistribution | IntDistribution
    )
    low, high = min(one.low, other.low), max(one.high, other.high)
    if isinstance(other, IntDistribution):
        return IntDistribution(int(low), int(high), log=other.log, step=1)
    return FloatDistribution(low, high, log=other.log)


def _conditions(
    param_sets: Sequence[Mapping[str, Any]], kinds: Mapping[str, BaseDistribution]
) -> dict[str, Condition]:
    """Returns what parameters hang on that some trials lack; those that no choice explains are left out."""
    found = {}
    for index, name in enumerate(kinds):
        if all(name in params for params in param_sets):
            continue
        parents = [
            parent for parent in list(kinds)[:index] if isinstance(kinds[parent], CategoricalDistribution)
        ]
        for parent in parents:
            with_it = {params[parent] for params in param_sets if name in params and parent in params}
            if all((params.get(parent, _ABSENT) in with_it) == (name in params) for params in param_sets):
                found[name] = Condition(parent, frozenset(with_it))
                break
    return found


_ABSENT = object()
"""Stands for a parameter that is not there; no choice equals it."""


def _ends(kind: BaseDistribution) -> tuple[float, float]:
    assert isinstance(kind, FloatDistribution | IntDistribution)
    return (math.log(kind.low), math.log(kind.high)) if kind.log else (float(kind.low), float(kind.high))


def _coordinate(kind: BaseDistribution, value: Any) -> float:
    if isinstance(kind, CategoricalDistribution):
        return (kind.choices.index(value) + 0.5) / len(kind.choices)
    low, high = _ends(kind)
    assert isinstance(kind, FloatDistribution | IntDistribution)
    if kind.single():
        return _INACTIVE
    return ((math.log(value) if kind.log else float(value)) - low) / (high - low)


def _choice(kind: CategoricalDistribution, column: Array) -> Indices:
    size = len(kind.choices)
    return np.clip(column * size, 0, size - 1).astype(np.int64)


def value_at(kind: BaseDistribution, coordinate: float) -> Any:
    """Returns the value of a parameter at a coordinate."""
    at = np.array([coordinate])
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[int(_choice(kind, at)[0])]
    number = float(_numbers(kind, at)[0])
    return round(number) if isinstance(kind, IntDistribution) else number


def _numbers(kind: BaseDistribution, column: Array) -> Array:
    """Returns the numbers of a range at coordinates, rounded to its grid; shape as given."""
    assert isinstance(kind, FloatDistribution | IntDistribution)
    low, high = _ends(kind)
    numbers = low + np.clip(column, 0.0, 1.0) * (high - low)
    numbers = np.exp(numbers) if kind.log else numbers
    if isinstance(kind, IntDistribution) and kind.log:
        numbers = np.round(numbers)
    elif kind.step is not None:
        numbers = kind.low + np.round((numbers - kind.low) / kind.step) * kind.step
    return np.clip(numbers, kind.low, kind.high)


def _rounded(kind: BaseDistribution, column: Array) -> Array:
    """Returns coordinates moved to those of values that a number can have; shape as given."""
    assert isinstance(kind, FloatDistribution | IntDistribution)
    low, high = _ends(kind)
    numbers = _numbers(kind, column)
    return np.asarray(((np.log(numbers) if kind.log else numbers) - low) / (high - low))
