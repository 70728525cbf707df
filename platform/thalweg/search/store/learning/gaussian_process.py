"""A Gaussian process that learns from stopped trials, too, and hands over to TPE before it becomes slow."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.learning.rung_trust import RungTrust
from thalweg.search.store.private_optuna import view_of

HAND_OVER = 200
"""Number of the trial that the Gaussian process is not asked for any more: its time grows with the cube of trials."""


class HandOverSampler(BaseSampler):
    """Proposes the first trials by a sampler that learns from complete trials only, and later ones by another.

    The first sampler sees stopped trials as complete, with the values that they are expected to have ended at. If a
    rung misleads, it does not see them.

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

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepares the trial's sampler."""
        sampler, view = self._of(study, trial)
        sampler.before_trial(view, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns the parameters that are proposed jointly."""
        sampler, view = self._of(study, trial)
        return sampler.infer_relative_search_space(view, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Proposes parameters jointly."""
        sampler, view = self._of(study, trial)
        return sampler.sample_relative(view, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Proposes a single parameter."""
        sampler, view = self._of(study, trial)
        return sampler.sample_independent(view, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passes the end of a trial to its sampler."""
        sampler, view = self._of(study, trial)
        sampler.after_trial(view, trial, state, values)

    def _of(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, optuna.Study]:
        """Returns the sampler of a trial, and the study as it sees it."""
        if trial.number >= self._hand_over:
            return self._later, study
        return self._first, view_of(study, lambda: self._seen(study))

    def _seen(self, study: optuna.Study) -> list[FrozenTrial]:
        return with_worst(expected_ends(study.get_trials(deepcopy=False), self._rungs), study.direction)


def with_worst(trials: Iterable[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Shows trials that violate a constraint, and so have no value, as complete with the worst value of all.

    So a model learns where trials cannot be trained; none is left out of it.

    Args:
        trials: Trials of a study.
        direction: Whether smaller or larger values are better.
    """
    found = list(trials)
    values = [
        trial.value for trial in found if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    if not values:
        return found
    worst = max(values) if direction == StudyDirection.MINIMIZE else min(values)
    return [
        _valued(trial, worst) if any(violation > 0 for violation in trial.constraints.values()) else trial
        for trial in found
    ]


def _valued(trial: FrozenTrial, value: float) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.value, shown.system_attrs = TrialState.COMPLETE, value, {}
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
