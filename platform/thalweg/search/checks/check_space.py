"""Checks a space before a search: one verdict after another, within a time that the user gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import TypeAlias

import torch

from thalweg.errors import SpaceError
from thalweg.search.checks.baseline_values import judge_baselines
from thalweg.search.checks.comparability import FEW_SAMPLES, judge_comparability
from thalweg.search.checks.costs.cost_probe import judge_cost
from thalweg.search.checks.data_state import judge_data, judge_start
from thalweg.search.checks.dead_knobs import judge_dead_knobs
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.leakage import judge_splits
from thalweg.search.checks.validity import check_used, judge_validity
from thalweg.testing.verdicts import sentence_of
from thalweg.training.guards.family_code import blaming

SECONDS = 60.0
"""Time that all checks of a space may take; what a search prepares before it starts, such as a store, counts."""
MIN_RATIO = 1 / 3
"""Share of the time that is left for the checks however long the preparation took."""
_AIM = 0.9  # of the time: the step that is on its way when it ends is finished

SECONDS_BEFORE_SEARCH = 20.0
"""Time that a search takes at most, about, to check a space before its first trial."""
MAX_SECONDS_OF_SAMPLE = 0.25
"""Longest evaluation of a sample with which a search checks its space by itself."""

BEFORE_SEARCH = ("comparable", "splits", "dead knobs")
"""Checks that a search makes by itself."""

Check: TypeAlias = Callable[[Examined, Deadline], Judgement]


def _valid(examined: Examined, deadline: Deadline) -> Judgement:
    return judge_validity(examined.space, *examined.drawn)


_CHECKS: Mapping[str, tuple[Check, float, str]] = {
    "valid": (_valid, 1.0, ""),
    "start": (judge_start, 1.0, ""),
    "data": (judge_data, 0.1, "start"),
    "baselines": (judge_baselines, 0.2, "data"),
    "comparable": (judge_comparability, 0.35, "data"),
    "splits": (judge_splits, 0.5, "data"),
    "cost": (judge_cost, 0.5, "data"),
    "dead knobs": (judge_dead_knobs, 1.0, "data"),  # last: it takes what time it has
}
"""Each check by its name: the function, its share of the time that is left, and the check that must pass before."""


_QUICKER: Mapping[str, Check] = {"comparable": partial(judge_comparability, most=FEW_SAMPLES)}
"""Checks that look at less before a search."""


def judgements(examined: Examined, seconds: float = SECONDS) -> Iterator[Judgement]:
    """Yields the verdict of each check on a space, as soon as it is known.

    Args:
        examined: The space.
        seconds: Time that the checks may take together.
    """
    deadline = Deadline(_AIM * seconds)
    lost: set[str] = set()
    for name, (check, ratio, needed) in _CHECKS.items():
        if needed in lost:
            found = Judgement(check=name, is_reached=False)
        else:
            found = _judged(name, check, examined, deadline.share(ratio))
        if name == "start":
            deadline = Deadline(max(deadline.left, MIN_RATIO * seconds))
        if found.faults or not found.is_reached:
            lost.add(name)
        yield found


@dataclass(frozen=True)
class Checked:
    """What a search tells of its space.

    Attributes:
        told: What is wrong, and what a user should know, a sentence each.
        is_whole: Whether nothing was left out, such as for time.
    """

    told: tuple[str, ...]
    is_whole: bool


def check_beside(examined: Examined, called_off: Event) -> Checked:
    """Checks a space before a search, and leaves a core to what starts meanwhile.

    A thread of torch that has none keeps all others waiting.

    Args:
        examined: The space.
        called_off: Ends the check early if another thread sets it.

    Raises:
        SpaceError: As `check_before_search` does.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - 1, 1))
    try:
        return check_before_search(examined, called_off)
    finally:
        torch.set_num_threads(threads)


def check_before_search(examined: Examined, called_off: Event | None = None) -> Checked:
    """Returns what a search tells of a space before its first trial; `thalweg check` takes more time and tells more.

    Args:
        examined: The space.
        called_off: Ends the check early if another thread sets it.

    Raises:
        SpaceError: A parameter reaches no configuration, trials would not be measured alike, or splits leak.
    """
    told = [*check_used(examined.space, *examined.drawn)]
    deadline = Deadline(SECONDS_BEFORE_SEARCH, called_off)
    if (seconds := examined.seconds_of_sample) > MAX_SECONDS_OF_SAMPLE:
        left = (
            f"a sample takes {seconds:.1f} s here: whether parameters act, and trials are measured alike, is left to "
            "`thalweg check`"
        )
        return Checked((*told, left), is_whole=False)
    is_whole = True
    for name in BEFORE_SEARCH:
        check, ratio, _ = _CHECKS[name]
        found = _judged(name, _QUICKER.get(name, check), examined, deadline.share(ratio))
        if found.faults and found.is_sure and name != "dead knobs":
            raise SpaceError(f"{found.faults[0]}; --no-check searches the space as it is")
        told += [*found.faults, *found.warnings]
        is_whole &= found.is_sure and not found.skipped
    return Checked(tuple(told), is_whole and not deadline.has_passed)


def _judged(name: str, check: Check, examined: Examined, deadline: Deadline) -> Judgement:
    """Runs a check; whatever it raises becomes its fault."""
    began = time.perf_counter()
    try:
        with blaming(examined.family.package):
            found = check(examined, deadline)
    except Exception as error:  # whatever a family or a space raises
        found = Judgement(check=name, faults=(sentence_of(error),), is_sure=False)
    return replace(found, seconds=time.perf_counter() - began)
