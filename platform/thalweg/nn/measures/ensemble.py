"""Scores of ensembles: the fair CRPS, the spread, and its ratio to the error of the mean.

Members are the second axis of a tensor (batch, member, ...). All is computed in fp64.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Members = Float[Tensor, "batch member *axes"]
Truth = Float[Tensor, " batch *axes"]


def fair_crps(members: Members, truth: Truth) -> Float64[Tensor, " batch *axes"]:
    """Returns the fair continuous ranked probability score of each value (Ferro 2014, doi:10.1002/qj.2270, Eq. 1).

    ``mean |x_i - y| - sum over i < j of |x_i - x_j| / (M (M - 1))``: its mean does not depend on the number M of
    members, as long as members and truth are drawn alike. Members that are all equal give the absolute error.

    Args:
        members: At least two members; the score of a single one is NaN.
        truth: True values.
    """
    wide, count = members.double(), members.shape[1]
    if count < 2:
        return torch.full_like(truth, math.nan, dtype=torch.float64)
    error = (wide - truth.double()[:, None]).abs().mean(1)
    ranks = torch.arange(count, dtype=torch.float64, device=members.device)
    # Of sorted members, the k-th (from 0) is subtracted from by count - 1 - k of them and subtracts from k.
    signs = (2 * ranks - (count - 1)).reshape(-1, *(1 for _ in truth.shape[1:]))
    distances = (wide.sort(1).values * signs).sum(1)
    return error - distances / (count * (count - 1))


def ensemble_variance(members: Members) -> Float64[Tensor, " batch *axes"]:
    """Returns the unbiased variance of the members; NaN for a single one."""
    if members.shape[1] < 2:
        return torch.full_like(members[:, 0], math.nan, dtype=torch.float64)
    return members.double().var(1, correction=1)


def spread_skill(variance: float, squared_error: float, num_members: int) -> float:
    """Returns the ratio of spread to skill (Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1, Eq. 15); 1 is reliable.

    Below 1 the members lie too close together. NaN if the mean has no error.

    Args:
        variance: Mean of the `ensemble_variance`.
        squared_error: Mean squared error of the ensemble's mean.
        num_members: Members of an ensemble.
    """
    if not squared_error > 0:
        return math.nan
    return math.sqrt((num_members + 1) / num_members * variance / squared_error)
