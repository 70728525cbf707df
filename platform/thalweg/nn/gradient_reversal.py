"""A layer that turns gradients around, so that one optimizer trains two opponents."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def reverse_gradient(x: Float[Tensor, "*shape"], weight: float) -> Float[Tensor, "*shape"]:
    """Returns values as they are, whose gradients are multiplied by -weight (section 4.2 of arXiv:1505.07818).

    What lies behind the layer descends a loss, and what lies in front of it ascends the same loss.

    Args:
        x: Values.
        weight: Strength of what lies in front; 0 lets no gradient through.
    """
    same: Tensor = _Reverse.apply(x, weight)
    return same


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        """Returns the values."""
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        """Turns the gradient around."""
        return -ctx.weight * slope, None
