"""Paired t-tests of few runs: variances shrunken towards their mean, Holm over rivals, simultaneous intervals.

Constants, such as climatology and persistence, are rivals that do not spread. One interval of the champion's mean says
on which side of it each of them lies, and is wrong about any only if it misses that mean: together they count as one
hypothesis. So all are judged, and rivals that are trained lose no power to them.

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
    constant: Flags | None = None,
    before: Flags | None = None,
) -> PairedTests:
    """Tests whether mean differences are 0.

    Differences that are all equal and not 0 have no spread to judge by, as those of a coarse metric: none is rejected.

    Args:
        differences: Champion minus rival at each seed, (..., rival, seed), finite wherever they are judged.
        error: Probability of any wrong rejection among the rivals.
        judged: Rivals that are tested, (..., rival); None takes all.
        constant: Rivals that are constants, (rival,), whose variances are not shrunken; None takes none.
        before: Rivals that are rejected already, (..., rival); None takes none.

    Returns:
        The tests; what is not judged is not rejected.
    """
    from scipy.stats import t as student

    num_rivals, num_seeds = differences.shape[-2:]
    judged = np.ones(differences.shape[:-1], np.bool_) if judged is None else judged
    before = np.zeros(differences.shape[:-1], np.bool_) if before is None else before
    constant = np.zeros(num_rivals, np.bool_) if constant is None else constant
    mean = differences.mean(-1)
    variance, df = shrunken_variances(differences.var(-1, ddof=1), num_seeds, judged & ~constant)
    tiny = _ROUNDING * np.abs(differences).max(-1)
    flat = variance <= tiny**2
    equal = flat & (tiny == 0)
    error_of_mean = np.sqrt(np.where(flat, 1.0, variance) / num_seeds)
    p = np.where(flat, 1.0, 2 * student.sf(np.abs(mean) / error_of_mean, df))
    reach = np.where(flat, np.inf, student.isf(error / num_hypotheses(constant) / 2, df) * error_of_mean)
    reach = np.where(equal, 0.0, reach)
    rejected = judged & rejected_of(np.where(judged, p, np.inf), error, constant, before)
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


def num_hypotheses(constant: Flags) -> int:
    """Returns how many hypotheses rivals are, of which some are constants, (rival,): these count as one."""
    return int((~constant).sum()) + bool(constant.any())


def rejected_of(p: Floats, error: float, constant: Flags, before: Flags) -> Flags:
    """Returns which rivals Holm's procedure rejects where all constants are one hypothesis, (..., rival).

    Their hypothesis is that of the constant closest to the champion; the others are rejected at the error that is left.

    Args:
        p: The p-values, (..., rival); infinite ones are not tested.
        error: Probability of any wrong rejection.
        constant: Rivals that are constants, (rival,).
        before: Rivals that are rejected already, (..., rival).
    """
    left = ~before[..., ~constant]
    if not constant.any():
        return holm(p, error, np.asarray(left.sum(-1)))
    closest = np.where(before, -np.inf, p)[..., constant].max(-1)
    is_left = closest > -np.inf
    every = np.concatenate([p[..., ~constant], np.where(is_left, closest, np.inf)[..., None]], -1)
    family = np.asarray(left.sum(-1) + is_left)
    found = holm(every, error, family)
    bound = error / np.maximum(family - found.sum(-1), 1)[..., None]
    rejected = found[..., -1:] | (p <= bound)
    rejected[..., ~constant] = found[..., :-1]
    return np.asarray(rejected & np.isfinite(p))


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
