"""Dropout that is fast on a CPU."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout

_LEVELS = 2**16


class Dropout(nn.Module):
    """Sets elements to zero at random in training and scales the others (Srivastava et al., JMLR 15, 2014).

    On a CPU, PyTorch draws a random number for each element and keeps the mask in the precision of the tensor, which
    takes a tenth of the time of a Transformer layer. Here 16 random bits decide on an element, each number of the
    global generator serves four elements, and the mask takes one byte per element.

    Args:
        ratio: Share of elements that are dropped, in [0, 1); on a CPU rounded to a multiple of 2**-16.
    """

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Drops elements."""
        if not self.training or not self.ratio:
            return x
        if x.device.type != "cpu":
            return dropout(x, self.ratio)
        dropped: Tensor = _DropByBits.apply(x, min(round(self.ratio * _LEVELS), _LEVELS - 1))
        return dropped


class _DropByBits(torch.autograd.Function):
    """Drops an element if its 16 random bits are below a level."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, level: int) -> Tensor:
        """Draws the mask of the elements that are kept."""
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        keep = draws.view(torch.int16)[: x.numel()].view(x.shape) >= level - _LEVELS // 2
        ctx.save_for_backward(keep)
        ctx.scale = _LEVELS / (_LEVELS - level)
        return _where(keep, x, ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        """Passes on the gradients of the elements that were kept."""
        (keep,) = ctx.saved_tensors
        return _where(keep, slope, ctx.scale), None


def _where(keep: Tensor, x: Tensor, scale: float) -> Tensor:
    """Returns ``x * scale`` where kept, else 0; bytes become numbers four times as fast as Booleans do."""
    return keep.view(torch.uint8).to(x.dtype).mul_(x).mul_(scale)
