"""Multinomial logistic regression of the season, and its penalty by periods that are left out."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from thalweg.nn import logistic
from trainables.geo_contrastive.data.calendars import SEASONS

PENALTIES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Of the sum of squared weights, beside the mean cross-entropy."""
FOLDS = 5

Members = Float64[Tensor, "day member"]
Seasons = Int64[Tensor, " day"]
Weights = Float64[Tensor, "term season"]


def fit_logistic(members: Members, seasons: Seasons, penalty: float) -> Weights:
    """Returns the weights that minimise mean cross-entropy and penalty, which spares the constant in the last row.

    Args:
        members: What the seasons are told by.
        seasons: Their numbers.
        penalty: Of the sum of squared weights.
    """
    return logistic.fit_logistic(members, seasons, penalty, len(SEASONS))


def best_logistic(members: Members, seasons: Seasons) -> Weights:
    """Fits with the penalty that tells each fifth of the days best from the other days.

    Args:
        members: What the seasons are told by, for days in the order of time.
        seasons: Their numbers.
    """
    errors = [
        sum(_left_out(members, seasons, penalty, fold) for fold in _folds(len(members)))
        for penalty in PENALTIES
    ]
    return fit_logistic(members, seasons, PENALTIES[errors.index(min(errors))])


def _folds(count: int) -> list[Tensor]:
    return list(torch.arange(count).tensor_split(FOLDS))


def _left_out(members: Members, seasons: Seasons, penalty: float, fold: Tensor) -> float:
    """Returns the summed cross-entropy of days by a fit to the others."""
    kept = torch.ones(len(members), dtype=torch.bool)
    kept[fold] = False
    weights = fit_logistic(members[kept], seasons[kept], penalty)
    logits = members[fold] @ weights[:-1] + weights[-1]
    return float(nn.functional.cross_entropy(logits, seasons[fold], reduction="sum"))
