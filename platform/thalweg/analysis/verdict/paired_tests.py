"""Paired t-tests of few runs: variances shrunken towards their mean, Holm over rivals, simultaneous intervals.

All functions work on the last axes, so that one call judges one study or ten thousand simulated ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

PRIOR_DF = 2.0
"""Degrees of freedom that the mean variance of the rivals counts for."""
LEVEL_ERROR = 0.05
"""Probability of any wrong word about equal configurations, over all rivals and looks."""
POWER = 0.8
"""Probability with which a difference is to be seen, for the number of seeds that it takes."""
_ROUNDING = 16 * np.finfo(np.float64).eps

Floats = Float64[np.ndarray, "..."]
Flags = Bool[np.ndarray, "..."]
Counts = Int64[np.ndarray, "..."]


@dataclass(frozen=True, kw_only=True)
class PairedTests:
    """Tests of the champion against its rivals, arrays of shape (..., rival).

    Attributes:
        mean: Mean difference, champion minus rival.
        low: Lower end of the simultaneous interval of the mean difference.
        high: Upper end.
        rejected: Whether Holm's procedure rejects that the two are equal.
        equal: Whether all differences are 0.
    """

    mean: Floats
    low: Floats
    high: Floats
    rejected: Flags
    equal: Flags


def paired_tests(
    differences: Floats,
    error: float,
    *,
    judged: Flags | None = None,
    pooled: Flags | None = None,
    family: Counts | None = None,
) -> PairedTests:
    """Tests whether mean differences are 0.

    Differences that are all equal and not 0 have no spread to judge by, as those of a coarse metric: none is rejected.

    Args:
        differences: Champion minus rival at each seed, (..., rival, seed), finite wherever they are judged.
        error: Probability of any wrong rejection among the rivals.
        judged: Rivals that are tested, (..., rival); None takes all.
        pooled: Rivals whose variances are shrunken towards their mean, (rival,); a constant's are its own. None takes
            all.
        family: Hypotheses that are not rejected before this test, (...); None counts all rivals.

    Returns:
        The tests; what is not judged is not rejected.
    """
    from scipy.stats import t as student

    num_rivals, num_seeds = differences.shape[-2:]
    judged = np.ones(differences.shape[:-1], np.bool_) if judged is None else judged
    pooled = np.ones(num_rivals, np.bool_) if pooled is None else pooled
    family = np.full(differences.shape[:-2], num_rivals) if family is None else family
    mean = differences.mean(-1)
    variance, df = shrunken_variances(differences.var(-1, ddof=1), num_seeds, judged & pooled)
    tiny = _ROUNDING * np.abs(differences).max(-1)
    flat = variance <= tiny**2
    equal = flat & (tiny == 0)
    error_of_mean = np.sqrt(np.where(flat, 1.0, variance) / num_seeds)
    p = np.where(flat, 1.0, 2 * student.sf(np.abs(mean) / error_of_mean, df))
    reach = np.where(flat, np.inf, student.isf(error / num_rivals / 2, df) * error_of_mean)
    reach = np.where(equal, 0.0, reach)
    rejected = holm(np.where(judged, p, np.inf), error, family)
    return PairedTests(mean=mean, low=mean - reach, high=mean + reach, rejected=rejected, equal=equal)


def shrunken_variances(own: Floats, num_seeds: int, pooled: Flags) -> tuple[Floats, Floats]:
    """Returns variances shrunken towards their mean, with their degrees of freedom, each (..., rival).

    The empirical Bayes estimate of Smyth (2004), "Linear models and empirical Bayes methods for assessing differential
    expression", with a prior of fixed weight: (d0 mean + (n - 1) own) / (d0 + n - 1), d0 = `PRIOR_DF`. A variance that
    is alone, or not pooled, stays as it is.

    Args:
        own: Variances of the differences, (..., rival).
        num_seeds: Differences of each, n.
        pooled: Rivals whose variances are pooled, (..., rival).
    """
    count = pooled.sum(-1, keepdims=True)
    centre = np.where(pooled, own, 0.0).sum(-1, keepdims=True) / np.maximum(count, 1)
    shares = pooled & (count > 1)
    shrunken = (PRIOR_DF * centre + (num_seeds - 1) * own) / (PRIOR_DF + num_seeds - 1)
    df = np.where(shares, PRIOR_DF + num_seeds - 1, num_seeds - 1.0)
    return np.where(shares, shrunken, own), df


def holm(p: Floats, error: float, family: Counts) -> Flags:
    """Returns which hypotheses Holm's step-down procedure (1979) rejects, (..., hypothesis).

    Args:
        p: The p-values, (..., hypothesis); infinite ones are not tested.
        error: Probability of any wrong rejection.
        family: Number of hypotheses, (...), those included that are not tested here.
    """
    order = np.argsort(p, -1, kind="stable")
    steps = np.arange(p.shape[-1])
    bounds = error / np.maximum(family[..., None] - steps, 1)
    passes = np.logical_and.accumulate(np.take_along_axis(p, order, -1) <= bounds, -1)
    rejected = np.zeros(p.shape, np.bool_)
    np.put_along_axis(rejected, order, passes, -1)
    return rejected


def seeds_needed(spread: float, difference: float, num_rivals: int) -> int:
    """Returns about how many seeds it takes to see a difference with probability `POWER`.

    The normal approximation with a correction for the estimated variance (Guenther 1981, two samples).

    Args:
        spread: Standard deviation of runs over seeds; for pairs, that of differences divided by the root of 2.
        difference: Difference of the means, more than 0.
        num_rivals: Rivals among which none may be named by mistake.
    """
    from scipy.stats import norm

    bound = float(norm.isf(LEVEL_ERROR / num_rivals / 2))
    reach = bound + float(norm.isf(1 - POWER))
    return math.ceil(2 * (reach * spread / difference) ** 2 + bound**2 / 4)


def visible_difference(num_seeds: int, num_rivals: int) -> float:
    """Returns the difference, in spreads over seeds, that so many seeds show with probability `POWER`."""
    from scipy.stats import norm

    bound = float(norm.isf(LEVEL_ERROR / num_rivals / 2))
    reach = bound + float(norm.isf(1 - POWER))
    return reach * math.sqrt(2 / max(num_seeds - bound**2 / 4, 0.5))
