"""A sampler that proposes where a process of learning curves expects the largest improvement at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from thalweg.search.store.curves.acquisition import propose
from thalweg.search.store.curves.observed import Seen, curves_of
from thalweg.search.store.curves.unit_cube import value_at
from thalweg.search.store.learning.delegating import Asked, DelegatingSampler


class CurveSampler(DelegatingSampler):
    """Proposes all parameters together, by the learning curves of all trials, those that still run among them.

    A running trial is taken to end where it is expected to, so that lanes do not try the same. Parameters that no trial
    has had are drawn by another sampler, and so are all of the first trials.

    Args:
        alone: Draws single parameters.
        samples: Budget of a trial.
        seed: Seed of the trial.
        num_startup_trials: Trials that come before it proposes.
    """

    def __init__(self, alone: BaseSampler, samples: int, seed: int, num_startup_trials: int) -> None:
        self._alone = alone
        self._samples = samples
        self._seed = seed
        self._num_startup_trials = num_startup_trials
        self._shares: dict[str, float] = {}

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the other sampler, which answers for single parameters."""
        return self._alone, study, trial

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns all parameters that earlier trials had, if their ranges are known; none before it proposes."""
        seen = self._seen(study, trial)
        if seen is None:
            return {}
        return {name: kind for name, kind in seen.encoding.kinds.items() if name not in seen.encoding.moving}

    def _seen(self, study: optuna.Study, trial: FrozenTrial) -> Seen | None:
        if trial.number < self._num_startup_trials:
            return None
        curves = curves_of(study.get_trials(deepcopy=False), study.direction, self._samples, trial.number)
        return Seen(curves) if any(curve.points for curve in curves) else None

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Proposes parameters: those that exist together, of the search space."""
        if not search_space:
            return {}
        seen = self._seen(study, trial)
        assert seen is not None
        process = seen.process()
        means, _ = process.ends(seen.features)
        best = seen.incumbent(means)
        running = {index: float(means[index]) for index, curve in enumerate(seen.curves) if curve.is_running}
        if running:
            process.condition(seen.observations(running))
            best = min([*running.values(), *([] if best is None else [best])])
        if best is None:
            best = float(means.min())
        known = seen.points[np.argsort(means, kind="stable")]
        found = propose(process, seen.encoding, best, known, np.random.default_rng(self._seed))
        self._shares = seen.encoding.shares(found.point)
        return seen.encoding.params(found.point)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Proposes a parameter by itself: what was found, if its range had to be known, else what is drawn."""
        share = self._shares.get(param_name)
        if share is None:
            return super().sample_independent(study, trial, param_name, param_distribution)
        return value_at(param_distribution, share)
