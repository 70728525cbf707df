"""Answers a search space, in two ways that behave alike: from a parameter set, and from Optuna's proposals.

Both remember what was asked, and hold the space to the same laws.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import optuna

from thalweg.errors import ConfigError, SpaceError, ThalwegError
from thalweg.search.domains import ChoiceSet, Domain, NumberRange, Record


class AskedTrial(ABC):
    """What a search space asks; a subclass answers.

    Attributes:
        asked: Ranges and choices that the space asked, by name, in order.
        params: Records of the answers by name, defaults included.
        refusal: The error that a question raised, if one did.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Domain] = {}
        self.params: dict[str, Any] = {}
        self.refusal: ThalwegError | None = None

    def suggest_float(self, name: str, low: Any, high: Any, *, step: Any = None, log: bool = False) -> float:
        """Answers with a number in [low, high]; what is no number is refused like any other broken law."""
        return float(self._answer(name, low, high, step, log, whole=False))

    def suggest_int(self, name: str, low: Any, high: Any, *, step: Any = 1, log: bool = False) -> int:
        """Answers with a whole number in [low, high]."""
        return int(self._answer(name, low, high, step, log, whole=True))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Answers with one of the choices."""
        return self._answer(name, choices)

    @abstractmethod
    def _record(self, name: str, domain: Domain) -> Record:
        """Returns the record of the answer to a question that was not asked before.

        Raises:
            ThalwegError: What was given does not fit the question.
        """

    def _answer(self, name: str, *terms: Any, **more: Any) -> Any:
        try:
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
        strict: Whether `check_all_asked` refuses parameters that the space never asked.
    """

    def __init__(self, params: Mapping[str, Any] | None = None, *, strict: bool = True) -> None:
        super().__init__()
        self._given = dict(params or {})
        self._strict = strict

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

    def _record(self, name: str, domain: Domain) -> Record:
        return _accept(name, domain, self._given[name]) if name in self._given else domain.default()


class ProposedTrial(AskedTrial):
    """Asks Optuna on behalf of a search space.

    Args:
        trial: The trial that Optuna began.
        fixed: Values by name that were put into its queue; like all of them they must lie in their ranges.
    """

    def __init__(self, trial: optuna.Trial, fixed: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._trial = trial
        self._fixed = dict(fixed or {})

    def _record(self, name: str, domain: Domain) -> Record:
        if name in self._fixed:
            _accept(name, domain, self._fixed[name])
        try:
            record = self._suggest(name, domain)
        except ValueError as error:  # of Optuna: an earlier trial was asked for something else
            raise SpaceError(
                f"a space must ask {name!r} with the same choices, or the same kind of range, in every trial, got "
                f"{domain} ({error}); use two names"
            ) from error
        return _accept(name, domain, record) if name in self._fixed else record

    def _suggest(self, name: str, domain: Domain) -> Record:
        if isinstance(domain, ChoiceSet):
            chosen: Record = self._trial.suggest_categorical(name, domain.records)
            return chosen
        low, high, log = domain.low, domain.high, domain.log
        if domain.whole:
            return self._trial.suggest_int(name, int(low), int(high), step=int(domain.step or 1), log=log)
        return self._trial.suggest_float(name, low, high, step=domain.step, log=log)


def _accept(name: str, domain: Domain, value: Any) -> Record:
    try:
        return domain.accept(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} must be {domain}, got {value!r}") from None
