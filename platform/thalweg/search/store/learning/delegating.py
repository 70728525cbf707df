"""A sampler that leaves every question to another one: the interface that Optuna asks of samplers, written once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

Asked: TypeAlias = tuple[BaseSampler, optuna.Study, FrozenTrial]
"""The sampler that answers, and the study and the trial as it sees them."""


class DelegatingSampler(BaseSampler):
    """Leaves each question to a sampler, which may be another one for each trial, and may see another study."""

    @abstractmethod
    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns who answers for a trial, and what it sees."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepares the trial's sampler."""
        sampler, seen, place = self.enter(study, trial)
        sampler.before_trial(seen, place)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns the parameters that are proposed jointly."""
        sampler, seen, place = self.enter(study, trial)
        return sampler.infer_relative_search_space(seen, place)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Proposes parameters jointly."""
        sampler, seen, place = self.enter(study, trial)
        return sampler.sample_relative(seen, place, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Proposes a single parameter."""
        sampler, seen, place = self.enter(study, trial)
        return sampler.sample_independent(seen, place, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passes the end of a trial to its sampler."""
        sampler, seen, place = self.enter(study, trial)
        sampler.after_trial(seen, place, state, values)
