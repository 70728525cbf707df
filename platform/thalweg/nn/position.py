"""Position encodings without parameters."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding


def sinusoidal(num_positions: int, dim: int) -> Float[Tensor, "position dim"]:
    """Returns sines in the first and cosines in the second half of the width.

    Section 3.5 of arXiv:1706.03762: wavelengths from 2 pi to 10000 * 2 pi in a geometric progression.

    Args:
        num_positions: Positions 0, 1, ...
        dim: Width; even.
    """
    half = dim // 2
    # Arithmetic on the meta device, where models are counted and checked, would import torch._dynamo: over a second.
    steps = torch.arange(half, dtype=torch.float64, device="cpu")
    frequency = torch.exp(-math.log(10000.0) * steps / half)
    angle = torch.arange(num_positions, dtype=torch.float64, device="cpu")[:, None] * frequency
    table = torch.cat((angle.sin(), angle.cos()), dim=-1).float()
    return table.to(torch.get_default_device())


def encode_places(
    position: Float[Tensor, "patch dim"],
    time: Float[Tensor, "step dim"],
    patches: Int[Tensor, "batch step taken"],
) -> Float[Tensor, "batch step taken dim"]:
    """Returns ``position[patch] + time[step]`` for some patches of each step.

    Both are added in one small table of all places, which is then indexed: adding them to tokens would cost two passes
    over memory. The table is in fp32, because a CPU would add the gradients of all samples in half precision. The
    result has the type of ``position``.
    """
    num_steps, num_patches = len(time), len(position)
    table = (time.float()[:, None] + position.float()).flatten(0, 1)
    first = torch.arange(0, num_steps * num_patches, num_patches, device=patches.device)
    return embedding(patches + first[:, None], table).to(position.dtype)
