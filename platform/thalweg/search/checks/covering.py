"""Branches of a space: configurations that come to all of them, and the options that set some of them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thalweg.search.checks.draws import Draw
from thalweg.wording import some, told_apart

Pair = tuple[str, str, str]  # a parameter, another one, and the option of this
_MAX_OPTIONS = 4
MIN_COVERING = 3
"""Configurations that are tried even if fewer cover the space."""


def pairs(draw: Draw) -> frozenset[Pair]:
    """Returns each parameter of a configuration with each option that it stands beside."""
    options = [(name, str(value)) for name, value in draw.choices().items()]
    alone = {(name, "", "") for name in draw.params}
    return frozenset(
        alone | {(name, *option) for name in draw.params for option in options if option[0] != name}
    )


def covering(draws: Sequence[Draw]) -> Iterator[tuple[Draw, frozenset[Pair]]]:
    """Yields configurations until every pair was covered, those that cover most first, with the pairs left after each.

    There are at least `MIN_COVERING` of them, for numbers may leave a parameter no room, too.

    Args:
        draws: Configurations; the first of them comes first.
    """
    covers = [pairs(draw) for draw in draws]
    left = frozenset[Pair]().union(*covers)
    places = list(range(len(draws)))
    count = 0
    while places and (left or count < MIN_COVERING):
        place = max(places, key=lambda number: (number == 0, len(covers[number] & left)))
        places.remove(place)
        left -= covers[place]
        count += 1
        yield draws[place], left


def apart(inside: Sequence[Draw], outside: Sequence[Draw], without: str) -> str:
    """Returns the options that all draws inside have and none outside, ``cell = lstm``; empty if there are none.

    Args:
        inside: Configurations in the branch.
        outside: Configurations out of it.
        without: A parameter that is not looked at.
    """
    shared = [
        name
        for name in inside[0].choices()
        if name != without and all(name in draw.params for draw in inside)
    ]
    for name in shared:
        here = list(dict.fromkeys(draw.params[name] for draw in inside))
        there = {draw.params[name] for draw in outside if name in draw.params}
        if outside and not there & set(here) and len(here) <= _MAX_OPTIONS:
            return f"{name} = {some(told_apart(here), separator=' or ')}"
    return ""


def branch_of(name: str, having: Sequence[Draw], lacking: Sequence[Draw]) -> str:
    """Returns the branch in which a parameter is asked for, as a clause; empty if it always is."""
    found = apart(having, lacking, name) if lacking else ""
    return f", which is asked if {found}" if found else ""
