"""Whether every configuration of a space is valid, all of its branches occur, and what it asks for is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from thalweg.errors import SpaceError
from thalweg.search.checks.draws import Draw, Draws, draw_all, varied
from thalweg.search.checks.judgement import Judgement
from thalweg.search.checks.unreached import Trace, never_asked, never_run
from thalweg.search.replay import written
from thalweg.search.space import Space
from thalweg.wording import some, told_apart

MAX_TRIED = 16
"""Configurations in which each parameter is changed alone."""
CHECK = "valid"


def drawn(space: Space) -> tuple[Draws, Trace]:
    """Draws the configurations of a space, and records which of its lines run for them."""
    trace = Trace(space.file)
    with trace.recording():
        draws = draw_all(space)
    return draws, trace


def judge_validity(space: Space, draws: Draws, trace: Trace) -> Judgement:
    """Judges the configurations of a space.

    Args:
        space: The space.
        draws: Its configurations, many of them.
        trace: The lines that ran for these.
    """
    count = len(draws.whole) + len(draws.refused)
    what = "cells of the grid" if draws.is_grid else "random configurations"
    return Judgement(
        check=CHECK,
        faults=(*_refusals(draws, count, what), *unused(space, draws)),
        warnings=(*_options_refused(draws), *_absent(space.file, draws, trace)),
        told=f"{len(draws.whole)} of {count} {what} are valid",
        numbers={"drawn": count, "refused": len(draws.refused)},
    )


def check_used(space: Space, draws: Draws, trace: Trace) -> Iterator[str]:
    """Yields what a search tells of the branches of its space; arguments as in `judge_validity`.

    Raises:
        SpaceError: The space asks for a parameter that reaches no configuration.
    """
    for fault in unused(space, draws):
        raise SpaceError(f"{fault}; --no-check searches the space as it is")
    yield from _absent(space.file, draws, trace)


def unused(space: Space, draws: Draws) -> Iterator[str]:
    """Yields a sentence on the parameters that are asked for and reach no configuration."""
    names = [name for name in _names(draws.whole) if _is_unused(space, _having(draws, name), name)]
    if names:
        yield (
            f"a parameter must change the configuration, got {some(names, most=20)}, which leave it the same whatever "
            "they are; pass them on, or do not ask for them"
        )


def _having(draws: Draws, name: str) -> list[Draw]:
    return [draw for draw in draws.whole if name in draw.asked][:MAX_TRIED]


def _is_unused(space: Space, draws: Iterable[Draw], name: str) -> bool:
    was_tried = False
    for draw in draws:
        for other in varied(space, draw, name):
            if other.config != draw.config:
                return False
            was_tried = True
    return was_tried


def _names(draws: Iterable[Draw]) -> list[str]:
    return list(dict.fromkeys(name for draw in draws for name in draw.asked))


def _refusals(draws: Draws, count: int, what: str) -> Iterator[str]:
    if draws.refused:
        first = draws.refused[0]
        yield (
            f"every configuration of a space must be valid, got {len(draws.refused)} of {count} {what} that are "
            f"refused, the first with {written(first.params)}: {first.error}; derive what depends on other parameters"
        )


def _options_refused(draws: Draws) -> Iterator[str]:
    """Yields a sentence on each option that is refused whenever it is drawn."""
    valid = {(name, value) for draw in draws.whole for name, value in draw.choices().items()}
    for name in _names(draws.whole):
        lost = {
            str(each.params[name]): each.params[name]
            for each in draws.refused
            if name in each.params and (name, each.params[name]) not in valid
        }
        if lost and any(name in draw.choices() for draw in draws.whole):
            options = some(sorted(told_apart(lost.values())))
            yield f"no valid configuration has {name} = {options}: leave such options out"


def _absent(file: Path, draws: Draws, trace: Trace) -> Iterator[str]:
    asked = _names(draws.whole)
    if missing := never_asked(file, trace.lines, asked):
        yield f"no trial is asked for {some(missing)}: the branch that asks never occurs"
    for place in never_run(file, trace.lines):
        yield f"a branch never occurs, {place}"
