"""Says which knobs come with the weights of other studies, and which parameters of a space change nothing for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from thalweg.config import FamilyConfig, active
from thalweg.errors import ThalwegError
from thalweg.search.domains import ChoiceSet, NumberRange
from thalweg.search.space import Space
from thalweg.search.store.warm_start import StartingPoint, inherit
from thalweg.wording import shortened, some

MAX_NAMED = 8
"""Knobs that are named; more are counted."""


def replaced(own: FamilyConfig, inherited: FamilyConfig) -> str | None:
    """Returns a sentence on the knobs that a configuration has otherwise than it says; None if there are none.

    Args:
        own: The configuration.
        inherited: The same with what it inherits.
    """
    before, after = active(own), active(inherited)
    changed = [name for name in sorted({**before, **after}) if before.get(name) != after.get(name)]
    if not changed:
        return None
    named = [f"{name} {_shown(after.get(name))} (not {_shown(before.get(name))})" for name in changed]
    return f"these knobs come with the weights of {', '.join(own.starts_from)}: {some(named, MAX_NAMED)}"


def without_effect(space: Space, points: Sequence[StartingPoint]) -> tuple[str, ...]:
    """Returns the names of searched parameters whose knobs all come from other studies.

    Each parameter is tried at both ends, or at each of its choices, with all others at their defaults.

    Args:
        space: The space.
        points: Starting points of its default configuration.
    """
    own, middle = space.replay({})
    inherited = active(inherit(own, points))
    dead = []
    for name, domain in middle.asked.items():
        others = list(_varied(space, own, name, domain))
        if others and all(active(inherit(other, points)) == inherited for other in others):
            dead.append(name)
    return tuple(dead)


def _varied(
    space: Space, own: FamilyConfig, name: str, domain: NumberRange | ChoiceSet
) -> Iterator[FamilyConfig]:
    """Yields the configurations that a parameter changes and that start from the same studies."""
    for value in domain.choices if isinstance(domain, ChoiceSet) else (domain.low, domain.high):
        try:
            other, _ = space.replay({name: value})
        except ThalwegError:
            continue  # a combination that the space refuses, as a trial would
        if other.starts_from == own.starts_from and active(other) != active(own):
            yield other


def _shown(value: Any) -> str:
    return "none" if value is None else shortened(value)
