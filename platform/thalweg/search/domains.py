"""Domains of searched parameters: ranges of numbers and sets of choices, and the laws that they must obey.

A value is stored as its *record*, which JSON holds without loss and which Optuna, MLflow and people see. The record of
a number is the number. The record of a choice is the choice, or its text if it is a tuple, a list or a dict. The space
receives the value.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any, TypeAlias

from thalweg.config import plain_scalar
from thalweg.errors import SpaceError
from thalweg.study import Number

Record: TypeAlias = bool | int | float | str | None

_MAX_WHOLE = 2**53
"""Largest whole number up to which a float, which is what Optuna stores, holds each one."""


@dataclass(frozen=True)
class NumberRange:
    """A range of numbers that a space asked for; `make` checks it.

    Attributes:
        low: Smallest value.
        high: Largest value.
        step: Distance of neighbouring values; None for a smooth range.
        log: Whether values are sampled evenly in their logarithm.
        whole: Whether all values are integers.
    """

    low: Number
    high: Number
    step: Number | None
    log: bool
    whole: bool

    @classmethod
    def make(cls, name: str, low: Any, high: Any, step: Any, log: Any, *, whole: bool) -> NumberRange:
        """Returns the range of a parameter, with its upper end moved to the last value on the grid.

        Raises:
            SpaceError: It breaks a law.
        """
        low, high = (_number(name, what, value, whole) for what, value in (("low", low), ("high", high)))
        step = None if step is None else _number(name, "step", step, whole)
        log = plain_scalar(log)
        if not isinstance(log, bool):
            raise SpaceError(f"log must be True or False for {name!r}, got {log!r}")
        if not low <= high:
            raise SpaceError(f"low <= high must hold for {name!r}, got {low:g} > {high:g}")
        if not whole and not math.isfinite(high - low):
            raise SpaceError(
                f"high - low must be finite for {name!r}, got {low:g} to {high:g}; name the values of use"
            )
        if log and low <= 0:
            raise SpaceError(f"low must be positive for {name!r} with log=True, got {low:g}")
        if step is not None and step <= 0:
            raise SpaceError(
                f"step must be positive for {name!r}, got {step:g}; leave it out for a smooth range"
            )
        if log and step not in ((1, None) if whole else (None,)):
            raise SpaceError(
                f"{name!r} must have a step or log=True, got step={step:g} with log=True; leave one of them out, "
                "or ask for one of several choices"
            )
        if step is not None:
            high = _last_point(low, high, step)
        return cls(low, high, step, log, whole)

    def default(self) -> Number:
        """Returns the middle of the range, rounded to the grid; the geometric middle of a logarithmic range."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step:
            middle = self.low + self.step * math.floor((middle - self.low) / self.step)
        middle = min(max(middle, self.low), self.high)  # products of very large and very small numbers
        return int(middle) if self.whole else float(middle)

    def sample(self, random: Random) -> Number:
        """Returns a random value of the range, evenly or evenly in its logarithm."""
        if self.step and not self.log:
            value = self.low + self.step * random.randint(0, round((self.high - self.low) / self.step))
            return min(value, self.high)  # 0.1 + 3 * 0.2 is more than 0.7
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        number = random.uniform(low, high)
        number = min(max(math.exp(number) if self.log else number, self.low), self.high)
        return round(number) if self.whole else number

    def accept(self, value: Any) -> Number:
        """Returns the number that a value stands for.

        Raises:
            ValueError: The range does not hold it.
        """
        if isinstance(value, bool):
            raise ValueError(value)
        number = float(value)
        steps = (number - self.low) / self.step if self.step else 0.0
        if not self.low <= number <= self.high or abs(steps - round(steps)) > 1e-8:
            raise ValueError(value)
        if self.whole and not number.is_integer():
            raise ValueError(value)
        return int(number) if self.whole else number

    def value(self, record: Any) -> Number:
        """Returns the value that the space receives."""
        return int(record) if self.whole else float(record)

    def corners(self) -> tuple[Record, ...]:
        """Returns records that may lead a space into different branches."""
        return (self.low, self.high)

    def agrees(self, other: Domain) -> bool:
        """Returns whether one study can hold both domains under one name."""
        return isinstance(other, NumberRange) and (self.whole, self.log) == (other.whole, other.log)

    def __str__(self) -> str:
        step = f" step {self.step:g}" if self.step not in (None, 1) else ""
        return f"in [{self.low:g}, {self.high:g}]{step}{' on a log scale' if self.log else ''}"


@dataclass(frozen=True)
class ChoiceSet:
    """Unordered choices that a space asked for; `make` checks them.

    Attributes:
        choices: The values that the space receives.
        records: Their records, in the same order.
    """

    choices: tuple[Any, ...]
    records: tuple[Record, ...]

    @classmethod
    def make(cls, name: str, choices: Any) -> ChoiceSet:
        """Returns the choices of a parameter.

        Raises:
            SpaceError: There are none, or some cannot be recorded or distinguished.
        """
        choices = plain_scalar(choices)
        if isinstance(choices, str | bytes) or not isinstance(choices, Iterable):
            raise SpaceError(f"{name!r} must have a tuple of choices, got {choices!r}; try ({choices!r},)")
        if isinstance(choices, Set):  # its order, and so the study, would differ from process to process
            raise SpaceError(f"the choices of {name!r} must have an order, got a set; use a tuple")
        values = tuple(_plain(name, choice) for choice in choices)
        if not values:
            raise SpaceError(f"{name!r} must have at least one choice, got none")
        records = tuple(_record(value) for value in values)
        for number, record in enumerate(records):
            if record in records[:number]:
                same = records[records.index(record)]
                raise SpaceError(
                    f"the choices of {name!r} must differ, got {same!r} and {record!r}, which are equal; leave one out"
                )
        return cls(values, records)

    def default(self) -> Record:
        """Returns the record of the first choice."""
        return self.records[0]

    def sample(self, random: Random) -> Record:
        """Returns the record of a random choice."""
        return random.choice(self.records)

    def accept(self, value: Any) -> Record:
        """Returns the record of the choice that a value, its JSON or its text stands for.

        Raises:
            ValueError: It is none of them.
        """
        for choice, record in zip(self.choices, self.records, strict=True):
            if type(choice) is type(value) and choice == value:
                return record
        for choice, record in zip(self.choices, self.records, strict=True):
            if _as_json(choice) == _as_json(value) and not _mixed(choice, value):
                return record
        for record in self.records:
            if str(record) == str(value):
                return record
        if isinstance(value, str):  # tables show the choice 1.0 as 1
            number = float(value)
            for record in self.records:
                if not isinstance(record, bool) and record == number:
                    return record
        raise ValueError(value)

    def value(self, record: Any) -> Any:
        """Returns a copy of the value for the space."""
        return copy.deepcopy(self.choices[self.records.index(record)])

    def corners(self) -> tuple[Record, ...]:
        """Returns records that may lead a space into different branches."""
        return self.records

    def agrees(self, other: Domain) -> bool:
        """Returns whether one study can hold both domains under one name."""
        return isinstance(other, ChoiceSet) and self.records == other.records

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.records))}"


Domain: TypeAlias = NumberRange | ChoiceSet


def _last_point(low: Number, high: Number, step: Number) -> Number:
    """Returns the last point of a grid, in decimal arithmetic as Optuna does: 0.3 lies on the grid of 0.1."""
    first, last, width = (Decimal(str(number)) for number in (low, high, step))
    rest = (last - first) % width
    return type(high)(last - rest) if rest else high


def _number(name: str, what: str, value: Any, whole: bool) -> Number:
    number = plain_scalar(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise SpaceError(f"{what} must be a number for {name!r}, got {value!r}")
    if isinstance(number, float) and not math.isfinite(number):
        raise SpaceError(f"{what} must be finite for {name!r}, got {number}; name the largest value of use")
    if abs(number) > (_MAX_WHOLE if whole else sys.float_info.max):
        raise SpaceError(
            f"{what} must be at most {'2**53' if whole else '1.8e308'} in size for {name!r}, beyond which records are "
            f"not exact, got about 2**{int(number).bit_length()}; name the largest value of use"
        )
    if not whole:
        return float(number)
    if number != int(number):
        raise SpaceError(f"{what} must be whole for {name!r}, got {number}; ask with suggest_float")
    return int(number)


def _plain(name: str, choice: Any) -> Any:
    """Returns a choice in built-in types."""
    choice = plain_scalar(choice)
    if isinstance(choice, float) and math.isnan(choice):
        raise SpaceError(f"a choice of {name!r} must equal itself, got nan; use None")
    if choice is None or type(choice) in (bool, int, float, str):
        return choice
    if type(choice) in (tuple, list):
        return type(choice)(_plain(name, item) for item in choice)
    if type(choice) is dict and all(type(key) is str for key in choice):
        return {key: _plain(name, item) for key, item in choice.items()}
    way_out = "use its value" if isinstance(choice, Enum) else "ask for a name and look it up in a dict"
    raise SpaceError(
        f"a choice of {name!r} must be None, a bool, a number, text, or a tuple, list or dict of these, got "
        f"{choice!r} ({type(choice).__name__}); {way_out}"
    )


def _record(choice: Any) -> Record:
    """Returns the record of a choice."""
    return repr(choice) if isinstance(choice, tuple | list | dict) else choice


def _as_json(value: Any) -> Any:
    """Returns a value as JSON would return it: tuples become lists."""
    value = plain_scalar(value)
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return value


def _mixed(one: Any, other: Any) -> bool:
    """Returns whether one of two equal values is a bool and the other a number."""
    return isinstance(one, bool) != isinstance(other, bool)
