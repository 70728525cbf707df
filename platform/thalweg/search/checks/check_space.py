"""Checks a space before a search: one verdict after another, within a time that the user gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from thalweg.search.checks.baseline_values import judge_baselines
from thalweg.search.checks.comparability import judge_comparability
from thalweg.search.checks.cost_probe import judge_cost
from thalweg.search.checks.data_state import judge_data, judge_start
from thalweg.search.checks.dead_knobs import judge_dead_knobs
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.leakage import judge_splits
from thalweg.search.checks.validity import judge_validity
from thalweg.testing.verdicts import sentence_of
from thalweg.training.guards.family_code import blaming

SECONDS = 60.0
"""Time that all checks of a space may take, about; the step that is on its way when it ends is finished.

What a search prepares before it starts, such as a synthetic data set, does not count.
"""

Check: TypeAlias = Callable[[Examined, Deadline], Judgement]


def _valid(examined: Examined, deadline: Deadline) -> Judgement:
    return judge_validity(examined.space, *examined.drawn)


_CHECKS: Mapping[str, tuple[Check, float, str]] = {
    "valid": (_valid, 1.0, ""),
    "start": (judge_start, 1.0, ""),
    "data": (judge_data, 0.1, "start"),
    "baselines": (judge_baselines, 0.2, "data"),
    "dead knobs": (judge_dead_knobs, 0.5, "data"),
    "comparable": (judge_comparability, 0.35, "data"),
    "splits": (judge_splits, 0.5, "data"),
    "cost": (judge_cost, 1.0, "data"),
}
"""Each check by its name: the function, its share of the time that is left, and the check that must pass before."""


def judgements(examined: Examined, seconds: float = SECONDS) -> Iterator[Judgement]:
    """Yields the verdict of each check on a space, as soon as it is known.

    Args:
        examined: The space.
        seconds: Time that the checks may take together.
    """
    deadline = Deadline(seconds)
    lost: set[str] = set()
    for name, (check, ratio, needed) in _CHECKS.items():
        if needed in lost:
            found = Judgement(check=name, is_reached=False)
        else:
            found = _judged(name, check, examined, deadline.share(ratio))
        if name == "start":
            deadline = Deadline(deadline.left + found.seconds)
        if found.faults or not found.is_reached:
            lost.add(name)
        yield found


def _judged(name: str, check: Check, examined: Examined, deadline: Deadline) -> Judgement:
    """Runs a check; whatever it raises becomes its fault."""
    began = time.perf_counter()
    try:
        with blaming(examined.family.package):
            found = check(examined, deadline)
    except Exception as error:  # whatever a family or a space raises
        found = Judgement(check=name, faults=(sentence_of(error),))
    return replace(found, seconds=time.perf_counter() - began)
