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

    It compares the parameters that are proposed jointly. A trial that failed for other reasons than its parameters does
    not count as tried.

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
        earlier = [
            other.params
            for other in study.get_trials(deepcopy=False)
            if other.number < trial.number and _is_tried(other)
        ]
        return apart_from(found, space, earlier, self._random)


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

    Args:
        found: The parameters.
        space: Their ranges and choices.
        earlier: Parameters of earlier trials.
        random: Source of randomness.
    """
    tried = [params for params in earlier if params.keys() >= space.keys()]
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
    return all(_differ_little(one[name], other[name], kind) for name, kind in space.items())


def _differ_little(one: Any, other: Any, kind: BaseDistribution) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return bool(one == other)
    assert isinstance(kind, FloatDistribution | IntDistribution)
    low, high, log = kind.low, kind.high, kind.log
    if log:
        one, other, low, high = (math.log(each) for each in (one, other, low, high))
    return bool(abs(one - other) <= NEAR * (high - low))
