"""Who proposes: Optuna's samplers by name.

To add a sampler, write a function like those below, and a line in `SAMPLERS` and in `study.SamplerName`.
"""

import warnings
from collections.abc import Callable

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from thalweg.search.study import SamplerName, Study


def make_sampler(study: Study, num_past_trials: int) -> BaseSampler:
    """Returns the sampler of a study.

    Args:
        study: Names the sampler, its seed and its random start.
        num_past_trials: Trials that the study holds already: a study that is continued must not draw again
            what it drew before.
    """
    seed = int(np.random.SeedSequence([study.seed, num_past_trials]).generate_state(1)[0])
    with warnings.catch_warnings():
        # `group` of TPE is experimental and wanted; Optuna's major version is pinned.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[study.sampler](seed, study.startup_trials)


def _tpe(seed: int, num_startup_trials: int) -> BaseSampler:
    # One joint model per group of parameters that occur together; lanes that still run are guessed to be bad,
    # so that neighbours do not try the same.
    return TPESampler(
        seed=seed, n_startup_trials=num_startup_trials, multivariate=True, group=True, constant_liar=True
    )


def _random(seed: int, num_startup_trials: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _gp(seed: int, num_startup_trials: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=num_startup_trials, warn_independent_sampling=False)


def _cmaes(seed: int, num_startup_trials: int) -> BaseSampler:
    # Categorical and conditional parameters are drawn at random beside the CMA-ES of the others. Pruned
    # trials are left out: Optuna's `consider_pruned_trials` breaks on those without a conditional parameter.
    return CmaEsSampler(seed=seed, n_startup_trials=num_startup_trials, warn_independent_sampling=False)


def _nsga2(seed: int, num_startup_trials: int) -> BaseSampler:
    # The first generation is random: Optuna's 50 would make most studies a random search.
    return NSGAIISampler(seed=seed, population_size=max(4, num_startup_trials))


SAMPLERS: dict[SamplerName, Callable[[int, int], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}
