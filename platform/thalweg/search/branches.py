"""Checks the branches of a search space before anything runs.

Optuna identifies a parameter by its name: all trials of a study must ask it with the same choices, or the same kind
of range. A space that breaks this in one branch only would run until a trial takes that branch.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from thalweg.errors import SpaceError
from thalweg.search.domains import Domain
from thalweg.search.replay import RecordedTrial

_MAX_TRIALS = 512


def check_branches(function: Callable[[Any], Any], trials: Iterable[RecordedTrial]) -> None:
    """Checks a space in the branches that each choice, and each end of a range, leads to.

    Args:
        function: The function that the user wrote.
        trials: Trials that the space was called with; their parameters are varied one after another.

    Raises:
        SpaceError: A question breaks a law, or one name is asked for with different domains.
    """
    known: dict[str, Domain] = {}
    queue = deque(trials)
    for _ in range(_MAX_TRIALS):
        if not queue:
            return
        queue.extend(_enter(function, params) for params in _new_branches(queue.popleft(), known))


def _new_branches(trial: RecordedTrial, known: dict[str, Domain]) -> list[dict[str, Any]]:
    """Records what a trial was asked, and returns parameter sets that vary the questions not seen before."""
    before: dict[str, Any] = {}
    found = []
    for name, domain in trial.asked.items():
        if not known.setdefault(name, domain).agrees(domain):
            raise SpaceError(
                f"a space must ask {name!r} with the same choices, or the same kind of range, in every branch, got "
                f"{known[name]} and {domain}; use two names"
            )
        if known[name] is domain:
            found += [{**before, name: corner} for corner in domain.corners() if corner != trial.params[name]]
        before[name] = trial.params[name]
    return found


def _enter(function: Callable[[Any], Any], params: dict[str, Any]) -> RecordedTrial:
    trial = RecordedTrial(params, strict=False)
    # A corner may break a law of the family: then the search refuses that trial only.
    with suppress(Exception):
        function(trial)
    if isinstance(trial.refusal, SpaceError):
        raise trial.refusal
    return trial
