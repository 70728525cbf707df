"""Position encodings without parameters."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinusoidal(num_positions: int, dim: int) -> Float[Tensor, "position dim"]:
    """Returns sines in the first and cosines in the second half of the width.

    Section 3.5 of arXiv:1706.03762: wavelengths from 2 pi to 10000 * 2 pi in a geometric progression.

    Args:
        num_positions: Positions 0, 1, ...
        dim: Width; even.
    """
    half = dim // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(num_positions, dtype=torch.float64)[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=-1).float()
