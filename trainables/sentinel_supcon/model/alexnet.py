"""SmallAlexNet: five convolutions and three dense layers for small images, with batch norms.

A stem halves an image, and a trunk turns its map into an embedding. Nearly all weights are in the two dense layers. Its
source is the code of arXiv:1906.05849, which takes images of 64 x 64; here they may have any side.
"""

import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.errors import ConfigError
from thalweg.nn.norm import BatchNorm
from trainables.sentinel_supcon.model.pooling import MaxPool

STEM_DIM = 96
"""Channels behind the stem."""
_CHANNELS = (192, 384, 384, 192)
_POOLED = (True, False, False, True)  # which of these convolutions a pool follows
_HIDDEN_DIM = 4096
_STD = 0.02  # of initial weights


def scaled(dim: int, width: float) -> int:
    """Returns a number of channels times a factor, rounded, at least 1."""
    return max(1, round(dim * width))


def stem(in_dim: int, out_dim: int) -> nn.Sequential:
    """Returns a convolution with batch norm, a pool that halves the image, and ReLU.

    Args:
        in_dim: Bands.
        out_dim: Channels.
    """
    block = _block(in_dim, out_dim, pooled=True)
    _initialise(block)
    return block


class SmallAlexNetTrunk(nn.Module):
    """What follows the stem: a map to an embedding.

    Args:
        width: Factor on all channels.
        out_dim: Width of the embedding.
        size: Side of the images.
    """

    def __init__(self, width: float, out_dim: int, size: int) -> None:
        super().__init__()
        widths = [scaled(dim, width) for dim in (STEM_DIM, *_CHANNELS)]
        steps = zip(widths[:-1], widths[1:], _POOLED, strict=True)
        self.convolutions = nn.Sequential(*(_block(*step) for step in steps))
        flat, hidden = widths[-1] * _side(size) ** 2, scaled(_HIDDEN_DIM, width)
        self.dense = nn.Sequential(
            nn.Flatten(), *_dense(flat, hidden), *_dense(hidden, hidden), nn.Linear(hidden, out_dim)
        )
        _initialise(self)

    def forward(self, maps: Float[Tensor, "batch dim row col"]) -> Float[Tensor, "batch embedding"]:
        """Embeds the maps of a stem.

        Raises:
            ConfigError: There is one scene, of which batch norms in training know no variance.
        """
        if self.training and len(maps) < 2 and not (dist.is_initialized() and dist.get_world_size() > 1):
            raise ConfigError(
                "a batch must hold at least 2 scenes where batch norms see one number of each, got 1; raise "
                "optimization.batch_size or optimization.micro_batch_size"
            )
        embedding: Tensor = self.dense(self.convolutions(maps))
        return embedding


def _block(in_dim: int, out_dim: int, pooled: bool) -> nn.Sequential:
    pool = (
        [MaxPool()] if pooled else []
    )  # before the ReLU, with which maxima commute, of a quarter of the work
    return nn.Sequential(
        nn.Conv2d(in_dim, out_dim, kernel_size=3, padding=1, bias=False),
        BatchNorm(out_dim),
        *pool,
        nn.ReLU(),
    )


def _dense(in_dim: int, out_dim: int) -> tuple[nn.Module, ...]:
    return nn.Linear(in_dim, out_dim, bias=False), BatchNorm(out_dim), nn.ReLU()


def _side(size: int) -> int:
    """Returns the side of the last map: that of an image after three pools."""
    for _ in range(1 + sum(_POOLED)):
        size = (size - 3) // 2 + 1
    return size


def _initialise(module: nn.Module) -> None:
    for each in module.modules():
        if isinstance(each, nn.Conv2d | nn.Linear):
            nn.init.normal_(each.weight, std=_STD)
