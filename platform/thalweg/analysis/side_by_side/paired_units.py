"""Single trials beside the first one over the places, years or scenes that both were evaluated on, in pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg.analysis.declared import family_of
from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.verdict.unit_scope import UnitFinding, over_units
from thalweg.config import parse
from thalweg.contract import Measure, State
from thalweg.errors import StudyError
from thalweg.study_folder import StudyFolder, trial_name
from thalweg.training import unit_sums


def compare_units(sides: Sequence[Side]) -> dict[str, list[UnitFinding]]:
    """Compares the first trial with each other one over blocks of units, by their names.

    The blocks say in how many places or years one trained model is better than another. They say nothing of what
    another seed would make of either.

    Args:
        sides: Trials that were measured alike.

    Raises:
        StudyError: A trial was stopped before its end, or the objective keeps no sums by unit.
        TrialError: A trial kept none.
    """
    for side in sides:
        if side.trial.status != "complete":
            raise StudyError(
                f"trials are compared over places and years at their end, got {side.label}, which is "
                f"{side.trial.status}; name complete ones, or leave --units out"
            )
    study, metric = sides[0].study, str(sides[0].study.definition["metric"])
    measure = _measure(sides[0], metric)
    states = [_state(side, measure, metric) for side in sides]
    sign, rng = 1.0 if study.mode == "max" else -1.0, np.random.default_rng(0)
    others = {side.label: [state] for side, state in zip(sides[1:], states[1:], strict=True)}
    found = over_units(measure, metric, sign, [states[0]], others, rng)
    if not any(found.values()):
        raise _nothing_by_unit(metric)
    return found


def _measure(side: Side, metric: str) -> Measure:
    family = family_of(side.study)
    task = family.task(parse(family.config_type, dict(side.trial.config)))
    for measure in task.measures():
        if metric in {each.name for each in measure.metrics}:
            return measure
    raise _nothing_by_unit(metric)


def _state(side: Side, measure: Measure, metric: str) -> State:
    kept = unit_sums.read(StudyFolder(side.folder).unit_sums(trial_name(side.trial.number))).of(measure)
    if not kept:
        raise _nothing_by_unit(metric)
    return kept


def _nothing_by_unit(metric: str) -> StudyError:
    return StudyError(
        f"a metric must keep sums by unit to be compared over places and years, got {metric!r}, which keeps none; "
        "leave --units out"
    )
