"""What samplers see of trials in a study with further objectives or constraints.

The storage holds one value per trial, that of the study's metric. Optuna's samplers take several values, and
constraints, of which positive ones are broken. Both are read from the metrics that are recorded when a trial ends.

A trial that was stopped early is shown as complete, with the value of the metric that it is expected to have ended at
and the other objectives as they were when it was stopped: with several objectives, TPE raises on stopped trials, and
the other samplers ignore them. One that was never trained, because it is too large or memory ran out, is shown with
values in place of its own, and a constraint that it breaks says why. Costs, and how far they lie beyond their bounds,
are shown by their logarithms: of plain numbers a Gaussian process learns the largest alone.
"""

import copy
import math
from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from thalweg.contract import Mode
from thalweg.search.store.learning.gaussian_process import expected_ends, reachable, with_stand_ins
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.records import OUTCOME
from thalweg.study import COSTS, Study

MEMORY = "memory"
"""Constraint of trials: that they fit into memory."""
_DIRECTIONS: dict[Mode, StudyDirection] = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}


def directions_of(study: Study) -> list[StudyDirection]:
    """Returns the direction of each objective of a study, that of its metric first."""
    return [_DIRECTIONS[mode] for mode in study.objectives.values()]


def seen_by_samplers(trials: Sequence[FrozenTrial], study: Study) -> list[FrozenTrial]:
    """Returns trials with the values of all objectives and with their constraints; those given stay as they are.

    Args:
        trials: Trials of the study, an interrupted one and those that continue it as one.
        study: Its settings.
    """
    constraints = Constraints.of_study(study)
    with_memory = any(map(_is_too_large, trials))
    found = [_bounded(trial, constraints, with_memory=with_memory) for trial in trials]
    if study.also:
        found = [
            shown
            for trial in expected_ends(found, study.rungs)
            if (shown := _with_all_values(trial, study)) is not None
        ]
    if not (study.also or constraints):
        return found
    return reachable(with_stand_ins(found, directions_of(study)))


def _is_too_large(trial: FrozenTrial) -> bool:
    return _failed_as(trial) == "out_of_memory"


def _failed_as(trial: FrozenTrial) -> str | None:
    return trial.user_attrs.get(OUTCOME, {}).get("ended_as") if trial.state == TrialState.FAIL else None


def _bounded(trial: FrozenTrial, constraints: Constraints, *, with_memory: bool) -> FrozenTrial:
    """Shows a trial with its constraints; one that could not be trained as stopped, for failed ones are not seen.

    A trial whose value is not known breaks its bound, unless it failed before it was measured.
    """
    metrics = trial.user_attrs.get(OUTCOME, {}).get("metrics", {})
    untrained = _is_too_large(trial) or (_failed_as(trial) == "infeasible" and bool(metrics))
    has_ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    if not (untrained or (constraints and has_ended)):
        return trial
    shown = copy.copy(trial)
    shown.system_attrs = dict(trial.system_attrs)
    if untrained:
        shown.state, shown.intermediate_values = TrialState.PRUNED, {}
    for words, excess in constraints.excess(metrics).items():
        shown.set_constraint(words, (0.0 if untrained else 1.0) if excess is None else excess)
    if with_memory:  # on all trials, for a Gaussian process takes those with equally many constraints only
        shown.set_constraint(MEMORY, 1.0 if _is_too_large(trial) else -1.0)
    return shown


def _with_all_values(trial: FrozenTrial, study: Study) -> FrozenTrial | None:
    """Shows a complete trial with the values of all objectives; None if one of them is not known."""
    if trial.state != TrialState.COMPLETE:
        return trial
    metrics = trial.user_attrs.get(OUTCOME, {}).get("metrics", {})
    if any(name not in metrics for name in study.also):
        return None
    shown = copy.copy(trial)
    shown.values = [trial.value, *(_shown_value(name, metrics[name]) for name in study.also)]
    return shown


def _shown_value(name: str, value: float) -> float:
    """Returns the logarithm of a cost, for costs differ by factors; dominance is the same."""
    return math.log(value) if name in COSTS and value > 0 else value
