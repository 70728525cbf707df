"""Checks the branches of a search space, and the ends of its ranges, before anything runs.

Optuna identifies a parameter by its name: all trials of a study must ask it with the same choices, or the same kind
of range. A configuration must allow what its space asks for. A space that breaks either law in one branch, or at the
end of one range, would run until a trial comes there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from thalweg.config import refusal
from thalweg.discovery import blame
from thalweg.errors import DiscoveryError, KnobError, SpaceError, ThalwegError
from thalweg.search.domains import ChoiceSet, Domain
from thalweg.search.replay import RecordedTrial, written

_MAX_TRIALS = 512
_MAX_DOMAINS = 8
"""Ranges of one name that are tried; if one depends on another parameter, there may be any number."""


def check_branches(space: Callable[[Any], Any], file: str, trials: Iterable[RecordedTrial]) -> None:
    """Checks a space in the branches that each choice, and each end of a range, leads to.

    Args:
        space: The space; it raises a `SpaceError`, whose cause is the error of the user's function.
        file: The file that defines it.
        trials: Trials that the space was called with; their parameters are varied one after another.

    Raises:
        SpaceError: A question breaks a law, one name is asked for with different domains, the function fails, or a
            choice or an end of a range is nothing that the configuration allows.
    """
    known: dict[str, list[Domain]] = {}
    queue = deque(trials)
    for _ in range(_MAX_TRIALS):
        if not queue:
            return
        queue.extend(_enter(space, file, params) for params in _new_branches(queue.popleft(), known))


def check_middle(space: Callable[[Any], Any], file: str) -> None:
    """Checks a space with all defaults, and names the parameter whose default the configuration refuses.

    Raises:
        ThalwegError: The space fails; see `check_branches`.
    """
    trial = RecordedTrial()
    try:
        space(trial)
    except SpaceError as error:
        name = _culprit(space, trial, {}, error) if _is_refused(error) else ""
        if not name:
            raise
        raise _not_allowed(error, file, trial, name, {}) from error


def _new_branches(trial: RecordedTrial, known: dict[str, list[Domain]]) -> list[dict[str, Any]]:
    """Records what a trial was asked, and returns parameter sets that vary the questions not seen before."""
    before: dict[str, Any] = {}
    found = []
    for name, domain in trial.asked.items():
        seen = known.setdefault(name, [])
        if seen and not seen[0].agrees(domain):
            raise SpaceError(
                f"a space must ask {name!r} with the same choices, or the same kind of range, in every branch, got "
                f"{seen[0]} and {domain}; use two names"
            )
        if domain not in seen and len(seen) < _MAX_DOMAINS:
            seen.append(domain)
            found += [{**before, name: corner} for corner in domain.corners() if corner != trial.params[name]]
        before[name] = trial.params[name]
    return found


def _enter(space: Callable[[Any], Any], file: str, params: dict[str, Any]) -> RecordedTrial:
    """Calls the space with a parameter set whose last parameter lies at a corner of its domain."""
    trial = RecordedTrial(params, strict=False)
    try:
        space(trial)
    except ThalwegError as error:
        if isinstance(trial.refusal, SpaceError):
            raise trial.refusal from None
        if _is_refused(error):
            name = _culprit(space, trial, params, error) or next(reversed(params))
            raise _not_allowed(error, file, trial, name, params) from error
        # A corner may break a law between knobs: then the search refuses that trial only.
        if trial.refusal is None and not isinstance(
            error.__cause__, ValueError | ArithmeticError | ThalwegError
        ):
            raise SpaceError(f"{error}; it was asked with {written(params)}") from error
    return trial


def _is_refused(error: ThalwegError) -> bool:
    """Returns whether one value was refused, whatever the others are; `error.__cause__` tells what was raised."""
    cause = error.__cause__
    cause = refusal(cause) if isinstance(cause, ValidationError) else cause
    return isinstance(cause, KnobError | DiscoveryError)


def _culprit(
    space: Callable[[Any], Any], trial: RecordedTrial, params: Mapping[str, Any], error: ThalwegError
) -> str:
    """Returns the parameter whose default was refused: another value of it changes the error; empty if none is."""
    candidates = [name for name in trial.asked if name not in params]
    for name in sorted(candidates, key=lambda name: isinstance(trial.asked[name], ChoiceSet)):
        for corner in trial.asked[name].corners():
            if _told(space, {**params, name: corner}) != str(error):
                return name
    return ""


def _told(space: Callable[[Any], Any], params: Mapping[str, Any]) -> str:
    """Returns the error with which a space refuses a parameter set; empty if it does not."""
    try:
        space(RecordedTrial(params, strict=False))
    except ThalwegError as error:
        return str(error)
    return ""


def _not_allowed(
    error: ThalwegError, file: str, trial: RecordedTrial, name: str, params: Mapping[str, Any]
) -> SpaceError:
    domain, value = trial.asked[name], trial.params[name]
    others = {
        other: value
        for other, value in params.items()
        if other != name and other in trial.asked and value != trial.asked[other].default()
    }
    reason = blame(error.__cause__ or error, file)
    return SpaceError(
        f"a configuration must allow all that its space asks for, got {name} {domain}, of which {value!r} is refused"
        f"{' with ' if others else ''}{written(others)} ({reason}); "
        f"{'leave it out' if isinstance(domain, ChoiceSet) else 'narrow the range'}"
    )
