"""The expected best of n trials: searches of unequal length, compared as if they had been equally long.

The best of many trials is luckier than the best of few. What n of N trials would have found is the mean of the best
over all their subsets of n, a U-statistic (Tang et al. 2020, doi:10.18653/v1/2020.acl-main.246). The estimator of Dodge
et al. (2019, doi:10.18653/v1/D19-1224) draws with replacement, and is too low for that reason. Both take trials as
exchangeable, which those of a random search are. Those of a sampler that learns are not quite: the later ones are
better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalweg.contract import Mode


def expected_best(values: Sequence[float], n: int, mode: Mode, num_without: int = 0) -> float | None:
    """Returns the mean of the best value over all subsets of n trials in which any has a value; None if no trial has.

    Args:
        values: Values of the trials that have one.
        n: Trials of a subset, at least 1 and at most all.
        mode: Whether smaller or larger is better.
        num_without: Trials without a value, such as stopped ones: they took their turn, and are never the best.

    Raises:
        ValueError: There are no subsets of n.
    """
    total = len(values) + num_without
    if not 1 <= n <= total:
        raise ValueError(f"n must be from 1 to the number of trials, {total}, got {n}")
    ordered = sorted(values, reverse=mode == "min")
    # Of all subsets of n, those whose best is the trial of rank r hold it and n - 1 of the r worse ones.
    weights = [math.comb(num_without + worse, n - 1) for worse in range(len(ordered))]
    whole = sum(weights)
    return (
        sum(weight / whole * value for weight, value in zip(weights, ordered, strict=True)) if whole else None
    )
