"""A study's preparation: what a search makes sure of before its first trial, and tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from thalweg.search.checks.examined import Examined
from thalweg.search.preflight import Prepared, prepare, refusals, searched_seeds, stopped_by_metric
from thalweg.search.space import Space
from thalweg.search.starting.checked_before import checked
from thalweg.search.starting.early_start import go_on
from thalweg.search.starting.run_options import Options


@dataclass(frozen=True)
class Preparation:
    """A study that may begin.

    Attributes:
        prepared: What the preflight found.
        told: What the check of the space tells; empty if there was none.
    """

    prepared: Prepared
    told: tuple[str, ...] = ()


def make_ready(
    space: Space,
    options: Options,
    root: Path | None,
    tell: Callable[[str], None],
    *,
    checks: bool,
    called_off: Event,
) -> Preparation:
    """Prepares a study and checks its space, unless it was checked before.

    Args:
        space: The space.
        options: Where and how the study runs.
        root: Folder of all data; None takes ``THALWEG_DATA`` or ``data/``.
        tell: Called with a sentence for people.
        checks: Whether the space is checked.
        called_off: Ends the preparation and the check early if another thread sets it.

    Raises:
        ThalwegError: The search would be refused, or the check found a fault.
        CalledOff: It was called off.
    """

    def say(sentence: str) -> None:
        go_on(called_off)
        tell(sentence)

    go_on(called_off)
    prepared = prepare(space, root, say, options.starting_points)
    for sentence in (*refusals(space), *searched_seeds(space), *stopped_by_metric(space.study)):
        say(sentence)
    if not checks:
        return Preparation(prepared)
    examined = Examined(space, options.output, root, known=prepared)
    return Preparation(prepared, checked(examined, called_off))
