"""Chooses configurations that cover a space: each parameter beside each option of the others, in few of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thalweg.search.checks.draws import Draw

Pair = tuple[str, str, str]  # a parameter, another one, and the option of this


def pairs(draw: Draw) -> frozenset[Pair]:
    """Returns each parameter of a configuration with each option that it stands beside."""
    options = [(name, str(value)) for name, value in draw.choices().items()]
    alone = {(name, "", "") for name in draw.params}
    return frozenset(
        alone | {(name, *option) for name in draw.params for option in options if option[0] != name}
    )


def covering(draws: Sequence[Draw]) -> Iterator[tuple[Draw, frozenset[Pair]]]:
    """Yields configurations until every pair was covered, those that cover most first, with the pairs left after each.

    Args:
        draws: Configurations; the first of them comes first.
    """
    covers = [pairs(draw) for draw in draws]
    left = frozenset[Pair]().union(*covers)
    place = 0
    while left and draws:
        left -= covers[place]
        yield draws[place], left
        place = max(range(len(draws)), key=lambda number: len(covers[number] & left))
