"""Convolutions and pools over (batch, channel, longitude, latitude) that go around the globe where the grid does.

What lies beyond the last longitude are the first ones if the grid wraps, and zeros else; beyond the poles always zeros.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import max_pool2d

from thalweg.nn.dropout import Dropout
from thalweg.nn.norm import norm
from trainables.geo_contrastive.model.geometry import GridShape

Maps = Float[Tensor, "batch _ _ _"]
"""(batch, channel, longitude, latitude); a result may have others of each than the input."""


def wrap(x: Maps, cells: int) -> Maps:
    """Returns maps with as many further longitudes on both sides, from the other end; any number of times around."""
    if not cells:
        return x
    size = x.shape[-2]
    ring = x if cells <= size else x.repeat(1, 1, -(-cells // size), 1)
    return torch.cat((ring[..., ring.shape[-2] - cells :, :], x, ring[..., :cells, :]), dim=-2)


class Conv(nn.Conv2d):
    """A convolution with an odd kernel whose result has ceil(size / stride) cells along each axis.

    Args:
        in_dim: Channels of the input.
        out_dim: Channels of the result.
        kernel: Side of the kernel.
        wraps: Whether the grid wraps.
        stride: Stride along longitude and latitude.
        bias: Whether there is a bias; not in front of a normalisation, which would take it away.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel: int,
        *,
        wraps: bool,
        stride: tuple[int, int] = (1, 1),
        bias: bool = False,
    ) -> None:
        beyond = kernel // 2
        padding = (0 if wraps else beyond, beyond)
        super().__init__(in_dim, out_dim, kernel, stride=stride, padding=padding, bias=bias)
        self.wrapped = beyond if wraps else 0

    def forward(self, x: Maps) -> Maps:
        """Convolves; the backward pass wraps the input again, which takes less memory than a wrapped copy."""
        wrapped = wrap(x, self.wrapped)
        if wrapped is x:
            return super().forward(x)
        pack = partial(_without, (wrapped.data_ptr(), wrapped.shape))
        with saved_tensors_hooks(pack, partial(_wrapped_again, x.detach(), self.wrapped)):
            return super().forward(wrapped)


def _without(copy: tuple[int, torch.Size], saved: Tensor) -> Tensor | None:
    """Returns what the backward pass needs of the forward pass; nothing for the wrapped copy of the maps."""
    return None if (saved.data_ptr(), saved.shape) == copy else saved


def _wrapped_again(x: Maps, cells: int, packed: Tensor | None) -> Tensor:
    """Returns what was kept for the backward pass, or the wrapped copy of the maps anew."""
    return wrap(x, cells) if packed is None else packed


class MaxPool(nn.Module):
    """The largest value of 3 x 3 cells, whose result has ceil(size / stride) cells along each axis.

    Args:
        stride: Stride along longitude and latitude.
        wraps: Whether the grid wraps.
    """

    def __init__(self, stride: tuple[int, int], *, wraps: bool) -> None:
        super().__init__()
        self.stride = stride
        self.wraps = wraps

    def forward(self, x: Maps) -> Maps:
        """Pools."""
        pooled: Tensor = max_pool2d(wrap(x, int(self.wraps)), 3, self.stride, (int(not self.wraps), 1))
        return pooled


class Deconv(nn.ConvTranspose2d):
    """A transposed convolution with a kernel of 4 and stride 2 that doubles both axes.

    Args:
        in_dim: Channels of the input.
        out_dim: Channels of the result.
        wraps: Whether the grid wraps.
        bias: Whether there is a bias.
    """

    def __init__(self, in_dim: int, out_dim: int, *, wraps: bool, bias: bool) -> None:
        # A further longitude on each side makes two more of the result there, which the padding cuts off again.
        super().__init__(in_dim, out_dim, 4, stride=2, padding=(3 if wraps else 1, 1), bias=bias)
        self.wrapped = int(wraps)

    def forward(self, x: Maps, output_size: list[int] | None = None) -> Maps:
        """Convolves."""
        return super().forward(wrap(x, self.wrapped), output_size)


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (Fig. 5, left, and option B of arXiv:1512.03385).

    Args:
        in_dim: Channels of the input.
        out_dim: Channels of the result.
        norm_name: Normalisation, one of `thalweg.nn.norm.NORMS`.
        wraps: Whether the grid wraps.
        stride: Stride of the first convolution along longitude and latitude.
        dropout: Dropout between the convolutions (arXiv:1605.07146).
        activation: Makes the non-linear function.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        norm_name: str,
        *,
        wraps: bool,
        stride: tuple[int, int] = (1, 1),
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        first: dict[str, Any] = {"wraps": wraps, "bias": norm_name == "none"}
        self.branch = nn.Sequential(
            Conv(in_dim, out_dim, 3, stride=stride, **first),
            norm(norm_name, out_dim),
            activation(),
            Dropout(dropout),
            Conv(out_dim, out_dim, 3, **first),
            norm(norm_name, out_dim),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or in_dim != out_dim:
            self.shortcut = nn.Sequential(
                Conv(in_dim, out_dim, 1, stride=stride, **first), norm(norm_name, out_dim)
            )
        self.activation = activation()

    def forward(self, x: Maps) -> Maps:
        """Transforms the maps."""
        result: Tensor = self.activation(self.branch(x) + self.shortcut(x))
        return result


class Crop(nn.Module):
    """Takes the first cells of maps that are a cell larger than a grid.

    Args:
        grid: The grid.
    """

    def __init__(self, grid: GridShape) -> None:
        super().__init__()
        self.shape = grid.shape

    def forward(self, x: Maps) -> Maps:
        """Cuts maps."""
        longitudes, latitudes = self.shape
        return x[..., :longitudes, :latitudes]


def draw_kaiming(module: nn.Module) -> None:
    """Draws the weights of all convolutions below a module for the ReLU behind them (arXiv:1502.01852, by fan-out).

    The last convolution of a residual block without a normalisation is made smaller by the root of the number of
    blocks, so that the sum of all branches stays of the size of the input (arXiv:1901.09321).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    blocks = [layer for layer in module.modules() if isinstance(layer, Residual)]
    for block in blocks:
        last = block.branch[-2]
        if isinstance(block.branch[-1], nn.Identity) and isinstance(last, nn.Conv2d):
            with torch.no_grad():
                last.weight.mul_(len(blocks) ** -0.5)
