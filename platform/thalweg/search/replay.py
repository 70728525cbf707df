"""Replay: answers a search space from a parameter set, records what the space asked, and checks its questions.

`thalweg.search.store.proposals` answers with Optuna's proposals, under the same checks.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from random import Random
from typing import Any

from thalweg.errors import ConfigError, SpaceError, ThalwegError
from thalweg.search.domains import ChoiceSet, Domain, NumberRange, Record


class AskedTrial(ABC):
    """The trial that a search space asks for values; a subclass answers.

    Attributes:
        asked: Ranges and choices that the space asked for, by name, in order.
        params: Records of the answers by name, defaults included.
        refusal: The error that a question raised, if one did.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Domain] = {}
        self.params: dict[str, Any] = {}
        self.refusal: ThalwegError | None = None

    def suggest_float(self, name: Any, low: Any, high: Any, *, step: Any = None, log: Any = False) -> float:
        """Answers with a number in [low, high].

        Raises:
            SpaceError: An argument is no number, or the range breaks a law.
        """
        return float(self._answer(name, low, high, step, log, whole=False))

    def suggest_int(self, name: Any, low: Any, high: Any, *, step: Any = 1, log: Any = False) -> int:
        """Answers with an integer in [low, high]."""
        return int(self._answer(name, low, high, step, log, whole=True))

    def suggest_categorical(self, name: Any, choices: Any) -> Any:
        """Answers with one of the choices."""
        return self._answer(name, choices)

    def __getattr__(self, name: str) -> Any:
        """Refuses what a trial of Optuna has besides, such as ``suggest_uniform``, ``report`` and ``number``.

        Raises:
            SpaceError: The name is public.
            AttributeError: It is not.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        raise SpaceError(
            "a trial has suggest_float, suggest_int and suggest_categorical only, for its answers must be all that a "
            f"configuration depends on, got {name!r}; ask for a number with suggest_float(name, low, high)"
        )

    @abstractmethod
    def _record(self, name: str, domain: Domain) -> Record:
        """Returns the record of the answer to a question that was not asked before.

        Raises:
            ThalwegError: The given value does not fit the question.
        """

    def _answer(self, name: Any, *terms: Any, **more: Any) -> Any:
        try:
            if not isinstance(name, str) or not name:
                raise SpaceError(f"a parameter's name must be text, got {name!r}; try {str(name) or 'lr'!r}")
            make = NumberRange.make if more else ChoiceSet.make
            domain: Domain = make(name, *terms, **more)
            if self.asked.get(name, domain) != domain:
                raise SpaceError(
                    f"a space must ask {name!r} with one range, got {self.asked[name]} and {domain}; "
                    "use two names"
                )
            record = self.params[name] if name in self.asked else self._record(name, domain)
        except ThalwegError as error:
            self.refusal = self.refusal or error
            raise
        self.asked[name], self.params[name] = domain, record
        return domain.value(record)


class RecordedTrial(AskedTrial):
    """Replays a parameter set to a search space.

    A parameter that the set leaves out takes its default: the middle of its range, the geometric middle of a
    logarithmic one, the first of several choices. Text stands for the number or the choice that it spells.

    Args:
        params: Values by name.
        strict: Whether `check_all_asked` refuses parameters that the space never asked for.
    """

    def __init__(self, params: Mapping[str, Any] | None = None, *, strict: bool = True) -> None:
        super().__init__()
        self._given = dict(params or {})
        self._strict = strict

    def check_all_asked(self) -> None:
        """Refuses parameters that the space never asked for.

        Raises:
            ConfigError: There are some; the message names those that it did ask for.
        """
        unknown = sorted(set(self._given) - set(self.asked))
        if self._strict and unknown:
            close = difflib.get_close_matches(unknown[0], self.asked, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"a parameter must be one that the space asks for, got {', '.join(map(repr, unknown))}; {hint}"
                f"with the other parameters as they are it asks {', '.join(self.asked) or 'nothing'}"
            )

    def _record(self, name: str, domain: Domain) -> Record:
        return accept(name, domain, self._given[name]) if name in self._given else domain.default()


class SampledTrial(AskedTrial):
    """Answers with random values, without any memory of other trials.

    Args:
        random: Source of the randomness.
    """

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def _record(self, name: str, domain: Domain) -> Record:
        return domain.sample(self._random)


def accept(name: str, domain: Domain, value: Any) -> Record:
    """Returns the record of a value that was given for a parameter.

    Raises:
        ConfigError: It is out of its range, or none of its choices.
    """
    try:
        return domain.accept(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"{name} must be {domain}, got {value!r}; choose such a value, or change what the search space asks"
        ) from None


def written(params: Mapping[str, Any]) -> str:
    """Returns a parameter set as a message shows it: ``lr=0.1, fusion='add'``."""
    return ", ".join(f"{name}={value!r}" for name, value in params.items())
