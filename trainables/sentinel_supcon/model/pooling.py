"""Max pooling that remembers where maxima were, and not the maps that it saw.

torch's own pool keeps its whole input for the backward pass, though it needs the positions of the maxima alone.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_KERNEL, _STRIDE = 3, 2


class MaxPool(nn.Module):
    """The maximum of windows of 3 x 3 pixels, every second row and column; halves a map."""

    def forward(
        self, maps: Float[Tensor, "batch dim row col"]
    ) -> Float[Tensor, "batch dim half_row half_col"]:
        """Returns the maxima; what is not a number stays so."""
        if not (torch.is_grad_enabled() and maps.requires_grad):
            return functional.max_pool2d(maps, _KERNEL, _STRIDE)
        pooled: Tensor = _Pool.apply(maps)
        return pooled


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, maps: Tensor) -> Tensor:
        pooled: Tensor
        pooled, positions = torch.ops.aten.max_pool2d_with_indices(maps, [_KERNEL] * 2, [_STRIDE] * 2)
        context.save_for_backward(positions.int())
        context.shape = maps.shape
        return pooled

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Tensor:
        (slope,), (positions,) = slopes, context.saved_tensors
        # Of the maps torch reads the shape alone.
        maps = slope.new_empty(()).expand(context.shape)
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            slope, maps, [_KERNEL] * 2, [_STRIDE] * 2, [0, 0], [1, 1], False, positions.long()
        )
        return found
