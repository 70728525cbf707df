"""Optuna's samplers by name, made independent of interruptions.

To add a sampler, write a function like those below, and a line in `SAMPLERS` and in `study.SamplerName`.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from thalweg.search.store.curves.sampler import CurveSampler
from thalweg.search.store.curves.stopping import proposed_by_curves
from thalweg.search.store.early_stopping import first_numbers
from thalweg.search.store.learning.delegating import Asked, DelegatingSampler
from thalweg.search.store.learning.expert_priors import PriorSampler
from thalweg.search.store.learning.gaussian_process import ExpectedEndsSampler, HandOverSampler
from thalweg.search.store.learning.untried import UntriedSampler
from thalweg.search.store.multi_objective.sampler_view import directions_of, seen_by_samplers
from thalweg.search.store.private_optuna import view_of
from thalweg.search.store.records import CONTINUES
from thalweg.study import SamplerName, Study


class ResumableSampler(DelegatingSampler):
    """Proposes what the study would propose if it had never been interrupted.

    Each trial has a sampler of its own, seeded by its position among the trials. It sees a trial that continues an
    interrupted one at the position of the latter. No state but the study passes from trial to trial.

    Args:
        make: Makes the sampler of a seed.
        settings: Settings of the study: its seed, its objectives and constraints.
    """

    def __init__(self, make: Callable[[int], BaseSampler], settings: Study) -> None:
        self._make = make
        self._settings = settings
        self._number: int | None = None

    def enter(self, study: optuna.Study, trial: FrozenTrial) -> Asked:
        """Returns the sampler of a trial, the study as it sees it, and the trial in its place."""
        if trial.number != self._number:
            trials = study.get_trials(deepcopy=False)
            first = first_numbers(trials)
            places = {number: place for place, number in enumerate(sorted(set(first.values())))}
            self._place = places[first[trial.number]]
            moved = {number: places[first[number]] for number in first}
            self._view = _as_uninterrupted(study, moved, self._settings)
            self._sampler = self._make(_mixed(self._settings.seed, self._place))
            self._number = trial.number
        return self._sampler, self._view, _placed(trial, self._place)

    def __getstate__(self) -> dict[str, Any]:
        """Keeps what belongs to one trial out of a copy."""
        return {"_make": self._make, "_settings": self._settings, "_number": None}


def _as_uninterrupted(study: optuna.Study, places: Mapping[int, int], settings: Study) -> optuna.Study:
    """Returns a view of a study in which an interrupted trial and those that continue it are one.

    Its trials have the values of all objectives that the settings name, and constraints.
    """

    def trials() -> list[FrozenTrial]:
        found = study.get_trials(deepcopy=False)
        continued = {trial.user_attrs.get(CONTINUES) for trial in found}
        chosen = [
            _placed(trial, places[trial.number])
            for trial in found
            if trial.number in places and trial.number not in continued
        ]
        return seen_by_samplers(sorted(chosen, key=lambda trial: trial.number), settings)

    return view_of(study, trials, directions_of(settings) if settings.also else ())


def _placed(trial: FrozenTrial, place: int) -> FrozenTrial:
    moved = copy.copy(trial)
    moved.number = place
    return moved


def _mixed(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


_MODELS: tuple[SamplerName, ...] = ("gp_tpe", "curves", "tpe", "gp")
"""Samplers with a model of the objective, which may find its best point the best one to try again."""


def make_sampler(study: Study) -> BaseSampler:
    """Returns the sampler of a study; study settings name it, its seed and its random start."""

    def make(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            # `group` of TPE is experimental and wanted; Optuna's major version is pinned.
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler = SAMPLERS[study.sampler](seed, study)
        if study.sampler in _MODELS:
            sampler = UntriedSampler(sampler, seed)
        if not study.priors and not study.lessons:
            return sampler
        return PriorSampler(sampler, study.priors, seed, study.lessons, num_before=len(study.first_trials))

    return ResumableSampler(make, study)


def _tpe(seed: int, study: Study) -> BaseSampler:
    # `group`: one joint model per group of parameters that occur together. `constant_liar`: running trials count as
    # bad, so that other lanes do not try the same.
    return TPESampler(
        seed=seed, n_startup_trials=study.startup_trials, multivariate=True, group=True, constant_liar=True
    )


def _random(seed: int, study: Study) -> BaseSampler:
    return RandomSampler(seed=seed)


def _gp(seed: int, study: Study) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=study.startup_trials, warn_independent_sampling=False)


def _curves(seed: int, study: Study) -> BaseSampler:
    # It follows one objective, and knows no bounds; Optuna's process does both.
    if not proposed_by_curves(study):
        return _gp_tpe(seed, study)
    first = CurveSampler(RandomSampler(seed=seed), study.samples, seed, study.startup_trials)
    return HandOverSampler(first, _tpe(seed, study))


def _gp_tpe(seed: int, study: Study) -> BaseSampler:
    # Parameters that some trials lack are no part of the Gaussian process: TPE proposes them one by one.
    alone = TPESampler(seed=seed, n_startup_trials=study.startup_trials, multivariate=False)
    first = GPSampler(
        seed=seed,
        n_startup_trials=study.startup_trials,
        independent_sampler=alone,
        warn_independent_sampling=False,
    )
    return HandOverSampler(ExpectedEndsSampler(first, study.rungs), _tpe(seed, study))


def _cmaes(seed: int, study: Study) -> BaseSampler:
    # Categorical and conditional parameters are sampled at random, the others by CMA-ES. Pruned trials are
    # left out: Optuna's `consider_pruned_trials` fails on those without a conditional parameter.
    return CmaEsSampler(seed=seed, n_startup_trials=study.startup_trials, warn_independent_sampling=False)


def _nsga2(seed: int, study: Study) -> BaseSampler:
    # The first generation is random: Optuna's 50 would make most studies a random search.
    return NSGAIISampler(seed=seed, population_size=max(4, study.startup_trials))


SAMPLERS: dict[SamplerName, Callable[[int, Study], BaseSampler]] = {
    "gp_tpe": _gp_tpe,
    "curves": _curves,
    "tpe": _tpe,
    "random": _random,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}
