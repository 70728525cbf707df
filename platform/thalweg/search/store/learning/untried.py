"""No trial is repeated: a sampler's proposal that an earlier trial had is moved aside.

A trial with the same parameters and the same seed gives the same value. A Gaussian process that takes the objective for
noisy may still propose its best point again and again, most often at the edge of a range: in one study of 24 trials six
were repetitions. What is next to that point is worth as much to it, and says more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.learning.delegating import Asked, DelegatingSampler
from thalweg.search.store.learning.expert_priors import drawn
from thalweg.search.store.records import OUTCOME
from thalweg.study import Prior

NEAR = 1e-6
"""Numbers that differ by less, as a share of their range, are the same."""
_NUM_DRAWS = 32
"""Draws about a proposal after which it stays what it is: a small space may have been tried in whole."""


class UntriedSampler(DelegatingSampler):
    """Moves proposals aside that an earlier trial had, by an eighth of each range or to another choice.

    It compares the parameters that are proposed jointly, and one that is proposed alone with all before it. A trial
    that failed for other reasons than its parameters does not count as tried.

    Args:
        inner: The sampler.
        seed: Seed of the trial.
    """

    def __init__(self, inner: BaseSampler, seed: int) -> None:
        self._inner = inner
        self._random = Random(seed)

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the sampler, and the study and the trial as they are."""
        return self._inner, study, trial

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Proposes parameters jointly, none that were tried together."""
        found = self._inner.sample_relative(study, trial, search_space)
        space = {name: search_space[name] for name in found}
        return apart_from(found, space, _earlier(study, trial), self._random)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Proposes a parameter alone, with which the trial is none that was tried."""
        found = self._inner.sample_independent(study, trial, param_name, param_distribution)
        before = _free(trial.params, trial.distributions)
        others = [
            {param_name: params[param_name]}
            for params in _earlier(study, trial)
            if params.keys() == {*before, param_name} and _is_same(before, params, trial.distributions)
        ]
        space = {param_name: param_distribution}
        return apart_from({param_name: found}, space, others, self._random)[param_name]


def _earlier(study: optuna.Study, trial: FrozenTrial) -> list[dict[str, Any]]:
    """Returns the parameters of the trials before one that were tried, without those that have a single value."""
    return [
        _free(other.params, other.distributions)
        for other in study.get_trials(deepcopy=False)
        if other.number < trial.number and _is_tried(other)
    ]


def _free(params: Mapping[str, Any], kinds: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if not kinds[name].single()}


def _is_tried(trial: FrozenTrial) -> bool:
    ended_as = trial.user_attrs.get(OUTCOME, {}).get("ended_as")
    return trial.state != TrialState.FAIL or ended_as in ("diverged", "infeasible", "out_of_memory")


def apart_from(
    found: dict[str, Any],
    space: Mapping[str, BaseDistribution],
    earlier: Iterable[Mapping[str, Any]],
    random: Random,
) -> dict[str, Any]:
    """Returns parameters that no earlier trial had, near those that were found; these if none had them.

    A trial that lacks some of them was not asked for these: a space asks the same of the same values.

    Args:
        found: The parameters.
        space: Their ranges and choices.
        earlier: Parameters of earlier trials.
        random: Source of randomness.
    """
    tried = [
        params
        for params in earlier
        if params and (params.keys() >= space.keys() or params.keys() <= space.keys())
    ]
    moved = found
    for _ in range(_NUM_DRAWS if space else 0):
        if not any(_is_same(moved, params, space) for params in tried):
            return moved
        moved = {
            name: drawn(Prior(found[name], "high"), kind, random, exactly=False)
            for name, kind in space.items()
        }
    return found


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> bool:
    return all(_differ_little(one[name], other[name], kind) for name, kind in space.items() if name in other)


def _differ_little(one: Any, other: Any, kind: BaseDistribution) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return bool(one == other)
    assert isinstance(kind, FloatDistribution | IntDistribution)
    low, high, log = kind.low, kind.high, kind.log
    if log:
        one, other, low, high = (math.log(each) for each in (one, other, low, high))
    return bool(abs(one - other) <= NEAR * (high - low))
