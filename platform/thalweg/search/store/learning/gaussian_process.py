"""What lets a Gaussian process learn from stopped trials, too, and hand over to TPE before it becomes slow."""

import copy
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.learning.delegating import Asked, DelegatingSampler
from thalweg.search.store.learning.rung_trust import RungTrust
from thalweg.search.store.private_optuna import view_of, with_constraints

HAND_OVER = 200
"""Number of the trial that the Gaussian process is not asked for any more: its time grows with the cube of trials."""

_MIN_SPREAD = 1e-9
"""Standard deviation of a constraint below which all trials break it equally."""


class HandOverSampler(DelegatingSampler):
    """Proposes the first trials by one sampler, and later ones by another that stays quick.

    Args:
        first: Proposes trials before `hand_over`.
        later: Proposes the others.
        hand_over: Number of the first trial of `later`.
    """

    def __init__(self, first: BaseSampler, later: BaseSampler, hand_over: int = HAND_OVER) -> None:
        self._first = first
        self._later = later
        self._hand_over = hand_over

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the sampler of a trial, and the study as it is."""
        return (self._later if trial.number >= self._hand_over else self._first), study, trial


class ExpectedEndsSampler(DelegatingSampler):
    """Shows stopped trials to a sampler that learns from complete ones only.

    They are shown as complete, with the values that they are expected to have ended at. If a rung misleads, they are
    left out. With several objectives, they are shown as they are.

    Args:
        inner: The sampler.
        rungs: Samples at which trials are stopped.
    """

    def __init__(self, inner: BaseSampler, rungs: Sequence[int]) -> None:
        self._inner = inner
        self._rungs = tuple(rungs)

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the sampler, and the study as it sees it."""
        return self._inner, view_of(study, lambda: self._seen(study)), trial

    def _seen(self, study: optuna.Study) -> list[FrozenTrial]:
        trials: Iterable[FrozenTrial] = study.get_trials(deepcopy=False)
        if len(study.directions) == 1:
            trials = expected_ends(trials, self._rungs)
        return reachable(with_stand_ins(trials, study.directions))


def with_stand_ins(trials: Iterable[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Shows trials that violate a constraint and have no value as complete.

    So a model learns where trials cannot be trained; none is left out of it. They have the worst value of each
    objective. If complete trials have constraints, too, of which there are models of their own, they have the median:
    the best trials often lie at a bound, and a model of the objective would take worst values beyond it for a cliff.

    Args:
        trials: Trials of a study.
        directions: Whether smaller or larger values are better, by objective.
    """
    found = list(trials)
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    if not complete:
        return found
    are_constrained = any(trial.constraints for trial in complete)
    columns = zip(*(trial.values for trial in complete), strict=True)
    values = [
        statistics.median(column)
        if are_constrained
        else max(column)
        if direction == StudyDirection.MINIMIZE
        else min(column)
        for direction, column in zip(directions, columns, strict=True)
    ]
    return [
        _valued(trial, values, keep_constraints=are_constrained) if _is_untrained(trial) else trial
        for trial in found
    ]


def reachable(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Shows trials which all break a constraint as if its bound were one standard deviation beyond the best of them.

    Optuna's Gaussian process fails on a bound that lies very many deviations away: feasibility then underflows for all
    candidates. A constraint that all complete trials break equally is left out.
    """
    complete = [trial.constraints for trial in trials if trial.state == TrialState.COMPLETE]
    names = complete[0] if complete else {}
    shifts: dict[str, float | None] = {}
    for name in names:
        values = [constraints[name] for constraints in complete]
        least, spread = min(values), statistics.pstdev(values)
        shifts[name] = None if least > 0 and spread < _MIN_SPREAD else max(0.0, least - spread)
    if not any(shift is None or shift > 0 for shift in shifts.values()):
        return list(trials)
    return [with_constraints(trial, _shifted(trial.constraints, shifts)) for trial in trials]


def _shifted(constraints: Mapping[str, float], shifts: Mapping[str, float | None]) -> dict[str, float]:
    found = {name: (value, shifts.get(name, 0.0)) for name, value in constraints.items()}
    return {name: value - shift for name, (value, shift) in found.items() if shift is not None}


def _is_untrained(trial: FrozenTrial) -> bool:
    """Returns whether a trial has no value because it violates a constraint."""
    ended = trial.state == TrialState.PRUNED and trial.last_step is None
    return ended and any(violation > 0 for violation in trial.constraints.values())


def _valued(trial: FrozenTrial, values: Sequence[float], *, keep_constraints: bool) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.values = TrialState.COMPLETE, values
    if not keep_constraints:  # a Gaussian process takes trials with equally many constraints only
        shown.system_attrs = {}
    return shown


def expected_ends(trials: Iterable[FrozenTrial], rungs: Sequence[int]) -> Iterator[FrozenTrial]:
    """Yields trials, those that were stopped as complete with the values that they are expected to have ended at.

    If a rung misleads, stopped trials are left out.

    Args:
        trials: Trials of a study.
        rungs: Samples at which trials are stopped.
    """
    trials = tuple(trials)
    trust = RungTrust(trials, rungs)
    tells = trust.tells
    for trial in trials:
        reached = trial.last_step
        if trial.state != TrialState.PRUNED or reached is None:
            yield trial
        elif tells:
            ended = copy.copy(trial)
            ended.state = TrialState.COMPLETE
            ended.value = trust.expected_end(reached, trial.intermediate_values[reached])
            yield ended
