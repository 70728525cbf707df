"""Answers a search space from a parameter set, and remembers what it asked."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import ConfigError, SpaceError, ThalwegError

Number = float | int  # spelt out: the checker that tests run under takes no int for a float


@dataclass(frozen=True)
class NumberRange:
    """A range of numbers that a space asked for."""

    low: Number
    high: Number
    step: Number | None
    log: bool
    whole: bool

    def default(self) -> Number:
        """Returns the middle of the range, the geometric one of a logarithmic range, on the grid."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step:
            middle = self.low + self.step * math.floor((middle - self.low) / self.step)
        return int(middle) if self.whole else middle

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
        return int(number) if self.whole else number

    def __str__(self) -> str:
        step = f" step {self.step:g}" if self.step not in (None, 1) else ""
        return f"in [{self.low:g}, {self.high:g}]{step}{' log' if self.log else ''}"


@dataclass(frozen=True)
class ChoiceSet:
    """Values without order that a space asked for."""

    choices: tuple[Any, ...]

    def default(self) -> Any:
        """Returns the first choice."""
        return self.choices[0]

    def accept(self, value: Any) -> Any:
        """Returns the choice that a value or its text stands for.

        Raises:
            ValueError: It is none of them.
        """
        for choice in self.choices:
            if type(choice) is type(value) and choice == value:
                return choice
        for choice in self.choices:
            if str(choice) == str(value):
                return choice
        raise ValueError(value)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"


class RecordedTrial:
    """Replays a parameter set to a search space.

    A parameter that the set leaves out takes its default: the middle of its range, the geometric middle of a
    logarithmic one, the first of several choices. Text stands for the number or the choice that it spells.

    Args:
        params: Values by name.
        strict: Whether `check_all_asked` refuses parameters that the space never asked.

    Attributes:
        asked: Ranges that the space asked, by name, in order.
        params: Answers by name, defaults included.
        refusal: The error that a question raised, if one did.
    """

    def __init__(self, params: Mapping[str, Any] | None = None, *, strict: bool = True) -> None:
        self.asked: dict[str, NumberRange | ChoiceSet] = {}
        self.params: dict[str, Any] = {}
        self.refusal: ThalwegError | None = None
        self._given = dict(params or {})
        self._strict = strict

    def suggest_float(
        self, name: str, low: Number, high: Number, *, step: Number | None = None, log: bool = False
    ) -> float:
        """Answers with a number in [low, high]."""
        return float(self._answer(name, NumberRange(low, high, step, log, whole=False)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Answers with a whole number in [low, high]."""
        return int(self._answer(name, NumberRange(low, high, step, log, whole=True)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Answers with one of the choices."""
        return self._answer(name, ChoiceSet(tuple(choices)))

    def check_all_asked(self) -> None:
        """Refuses parameters that the space never asked.

        Raises:
            ConfigError: There are some; the message names those that it did ask.
        """
        unknown = sorted(set(self._given) - set(self.asked))
        if self._strict and unknown:
            close = difflib.get_close_matches(unknown[0], self.asked, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"a parameter must be one that the space asks for, got {', '.join(map(repr, unknown))}; {hint}"
                f"with the other parameters as they are it asks {', '.join(self.asked) or 'nothing'}"
            )

    def _answer(self, name: str, domain: NumberRange | ChoiceSet) -> Any:
        try:
            self._check(name, domain)
            value = self._value(name, domain)
        except ThalwegError as error:
            self.refusal = self.refusal or error
            raise
        self.asked[name], self.params[name] = domain, value
        return value

    def _value(self, name: str, domain: NumberRange | ChoiceSet) -> Any:
        if name not in self._given:
            return domain.default()
        try:
            return domain.accept(self._given[name])
        except (TypeError, ValueError):
            raise ConfigError(f"{name} must be {domain}, got {self._given[name]!r}") from None

    def _check(self, name: str, domain: NumberRange | ChoiceSet) -> None:
        if self.asked.get(name, domain) != domain:
            raise SpaceError(
                f"a space must ask {name!r} with one range, got {self.asked[name]} and {domain}; "
                "use two names"
            )
        if isinstance(domain, ChoiceSet):
            if not domain.choices:
                raise SpaceError(f"{name!r} must have at least one choice, got none")
        elif not domain.low <= domain.high:
            raise SpaceError(f"low <= high must hold for {name!r}, got {domain.low:g} > {domain.high:g}")
        elif domain.log and domain.low <= 0:
            raise SpaceError(f"low must be positive for {name!r} with log=True, got {domain.low:g}")
