"""Says in which branch of a space something holds: the options that set configurations with it apart from others."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.search.checks.draws import Draw
from thalweg.wording import some

_MAX_OPTIONS = 4


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
            return f"{name} = {some(map(str, here), separator=' or ')}"
    return ""


def branch_of(name: str, having: Sequence[Draw], lacking: Sequence[Draw]) -> str:
    """Returns the branch in which a parameter is asked for, as a clause; empty if it always is."""
    found = apart(having, lacking, name) if lacking else ""
    return f", which is asked if {found}" if found else ""
