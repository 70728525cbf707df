"""Expert priors: a best guess and a confidence for some parameters, from which a search starts and which fade.

As in PriorBand (Mallik et al. 2023, arXiv:2306.12370), a share of the trials is drawn from the prior, and the share
shrinks as trials come. Here it halves every `HALF_LIFE` trials: a wrong prior costs about eight trials, most of them
among the first ten, and they teach the sampler, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from thalweg.search.domains import ChoiceSet
from thalweg.search.store.learning.delegating import Asked, DelegatingSampler
from thalweg.search.store.learning.earlier_studies import drawn_guess
from thalweg.study import Lesson, Prior

HALF_LIFE = 5
"""Trials after which half as many are drawn from a prior."""
_WIDTHS: Mapping[str, float] = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Standard deviation of a number, as a share of its range, by confidence."""
_WEIGHTS: Mapping[str, float] = {"low": 2.0, "medium": 4.0, "high": 8.0}
"""Weight of a choice beside that of each other, 1, by confidence."""


def share_from_prior(place: int) -> float:
    """Returns the probability that a trial is drawn from the prior.

    Args:
        place: Position of the trial among those that are proposed; the first one is the best guess itself.
    """
    return float(0.5 ** (place / HALF_LIFE))


class PriorSampler(DelegatingSampler):
    """Draws some trials from priors or earlier studies, ever fewer as trials come, and leaves the others to a sampler.

    The first trial is the best guess itself. Parameters without a prior are proposed by the sampler, one by one.

    Args:
        inner: The sampler.
        priors: Priors by name of the parameter.
        seed: Seed of the trial.
        lessons: What earlier studies taught: a trial draws about one of theirs, where no prior says otherwise.
        num_before: Trials whose parameters are given, which come before the best guess.
    """

    def __init__(
        self,
        inner: BaseSampler,
        priors: Mapping[str, Prior],
        seed: int,
        lessons: Sequence[Lesson] = (),
        num_before: int = 0,
    ) -> None:
        self._inner = inner
        self._lessons = lessons
        self._given = priors
        self._priors: Mapping[str, Prior] = priors
        self._num_before = num_before
        self._random = Random(seed)
        self._draw = self._random.random()

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the sampler, and the study and the trial as they are."""
        return self._inner, study, trial

    def _is_drawn(self, trial: FrozenTrial) -> bool:
        return self._draw < share_from_prior(max(0, trial.number - self._num_before))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepares the sampler."""
        if self._lessons:
            is_first = trial.number <= self._num_before
            self._priors = drawn_guess(self._lessons, self._random, best=is_first) | dict(self._given)
        super().before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns the parameters that the sampler proposes jointly; none of a trial that is drawn from the priors."""
        return {} if self._is_drawn(trial) else super().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Proposes parameters jointly."""
        return {} if self._is_drawn(trial) else super().sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Proposes a single parameter: from its prior, or by the sampler."""
        prior = self._priors.get(param_name)
        if prior is None or not self._is_drawn(trial):
            return super().sample_independent(study, trial, param_name, param_distribution)
        return drawn(prior, param_distribution, self._random, exactly=trial.number <= self._num_before)


def drawn(prior: Prior, distribution: BaseDistribution, random: Random, *, exactly: bool) -> Any:
    """Draws a value from a prior: a normal distribution about the guess, cut off at the ends of the range.

    It is normal in the logarithm if the range is logarithmic. A guess that the range does not hold, for the space has
    changed, is moved to the nearest end; a choice that is not there leaves all choices alike.

    Args:
        prior: The prior.
        distribution: The range or the choices.
        random: Source of randomness.
        exactly: Whether to take the guess itself.
    """
    if isinstance(distribution, CategoricalDistribution):
        return _choice(prior, distribution, random, exactly)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, log = distribution.low, distribution.high, distribution.log
    guess = min(max(float(prior.value), low), high)
    ends = (math.log(low), math.log(high), math.log(guess)) if log else (low, high, guess)
    found = ends[2] if exactly else _normal(*ends, _WIDTHS[prior.confidence], random)
    number = min(max(math.exp(found) if log else found, low), high)
    if distribution.step is not None and not log:
        number = low + round((number - low) / distribution.step) * distribution.step
    return round(number) if isinstance(distribution, IntDistribution) else min(float(number), high)


def _normal(low: float, high: float, mean: float, width: float, random: Random) -> float:
    """Draws from a normal distribution until the range holds the number: on average at most three times."""
    while low < high:
        number = random.gauss(mean, width * (high - low))
        if low <= number <= high:
            return number
    return low


def _choice(prior: Prior, distribution: CategoricalDistribution, random: Random, exactly: bool) -> Any:
    records = distribution.choices
    try:
        guess = ChoiceSet(tuple(records), tuple(records)).accept(prior.value)
    except ValueError:
        return random.choice(records)
    if exactly:
        return guess
    weights = [_WEIGHTS[prior.confidence] if record == guess else 1.0 for record in records]
    return random.choices(records, weights)[0]
