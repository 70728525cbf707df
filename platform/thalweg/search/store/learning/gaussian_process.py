"""A Gaussian process that learns from stopped trials, too, and hands over to TPE before it becomes slow."""

import copy
import statistics
from collections.abc import Iterable, Iterator, Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.learning.delegating import Asked, DelegatingSampler
from thalweg.search.store.learning.rung_trust import RungTrust
from thalweg.search.store.private_optuna import view_of

HAND_OVER = 200
"""Number of the trial that the Gaussian process is not asked for any more: its time grows with the cube of trials."""


class HandOverSampler(DelegatingSampler):
    """Proposes the first trials by a sampler that learns from complete trials only, and later ones by another.

    The first sampler sees stopped trials as complete, with the values that they are expected to have ended at. If a
    rung misleads, it does not see them. With several objectives, it sees them as they are.

    Args:
        first: Proposes trials before `hand_over`.
        later: Proposes the others; it sees trials as they are.
        rungs: Samples at which trials are stopped.
        hand_over: Number of the first trial of `later`.
    """

    def __init__(
        self, first: BaseSampler, later: BaseSampler, rungs: Sequence[int], hand_over: int = HAND_OVER
    ) -> None:
        self._first = first
        self._later = later
        self._rungs = tuple(rungs)
        self._hand_over = hand_over

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the sampler of a trial, and the study as it sees it."""
        if trial.number >= self._hand_over:
            return self._later, study, trial
        return self._first, view_of(study, lambda: self._seen(study)), trial

    def _seen(self, study: optuna.Study) -> list[FrozenTrial]:
        trials: Iterable[FrozenTrial] = study.get_trials(deepcopy=False)
        if len(study.directions) == 1:
            trials = expected_ends(trials, self._rungs)
        return with_stand_ins(trials, study.directions)


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
