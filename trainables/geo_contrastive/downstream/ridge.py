"""Ridge regression whose penalty is chosen by the last days."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

MIN_DAYS = 32
"""Days below which nothing is fitted."""
PENALTIES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Penalties, as multiples of the mean variance of members times the number of days."""
HELD_OUT = 0.2
"""Share of the days, the last ones, that chooses the penalty."""

Weights = Float[Tensor, "member target"]


def fit_ridge(members: Float[Tensor, "day member"], target: Float[Tensor, "day target"]) -> Weights:
    """Fits with the penalty that tells the last fifth of the days best from those before."""
    cut = round(len(members) * (1 - HELD_OUT))
    errors = [
        float((members[cut:] @ _solve(members[:cut], target[:cut], penalty) - target[cut:]).square().sum())
        for penalty in PENALTIES
    ]
    return _solve(members, target, PENALTIES[int(np.argmin(errors))])


def _solve(
    members: Float[Tensor, "day member"], target: Float[Tensor, "day target"], penalty: float
) -> Weights:
    square = members.T @ members
    scale = square.diagonal().mean().clamp(min=1e-12)
    ridge = penalty * scale * torch.eye(len(square), dtype=square.dtype, device=square.device)
    weights: Weights = torch.linalg.solve(square + ridge, members.T @ target)
    return weights
