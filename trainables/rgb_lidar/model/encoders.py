"""Layers of all models of the family: blocks that halve maps, dense layers, embedders."""

import itertools
from collections.abc import Sequence

from torch import nn

from thalweg.errors import ConfigError
from trainables.rgb_lidar.knobs import Downsampling, EncoderKnobs


def block(in_dim: int, out_dim: int, downsampling: Downsampling) -> nn.Sequential:
    """Returns a 3 x 3 convolution with ReLU that halves height and width.

    ``strided_extra`` adds a convolution of stride 2 after the ReLU, as both published experiments did;
    ``strided_replace`` gives the convolution itself stride 2.
    """
    stride = 2 if downsampling == "strided_replace" else 1
    layers: list[nn.Module] = [nn.Conv2d(in_dim, out_dim, 3, stride=stride, padding=1), nn.ReLU()]
    if downsampling == "maxpool":
        layers.append(nn.MaxPool2d(2))
    elif downsampling == "avgpool":
        layers.append(nn.AvgPool2d(2))
    elif downsampling == "strided_extra":
        layers.append(nn.Conv2d(out_dim, out_dim, 3, stride=2, padding=1))
    return nn.Sequential(*layers)


def blocks(widths: Sequence[int], downsampling: Downsampling) -> nn.Sequential:
    """Returns one block from each number of channels to the next."""
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*(block(before, after, downsampling) for before, after in pairs))


def hidden(in_dim: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Returns linear layers with ReLU, and dropout if it is not 0."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((in_dim, *widths)):
        layers += [nn.Linear(before, after), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def dense(in_dim: int, widths: Sequence[int], out_dim: int, dropout: float) -> nn.Sequential:
    """Returns hidden layers and a linear one."""
    return hidden(in_dim, widths, dropout).append(nn.Linear((in_dim, *widths)[-1], out_dim))


def flat_dim(knobs: EncoderKnobs, side: int) -> int:
    """Returns the number of values of the maps after the blocks.

    Raises:
        ConfigError: The images are too small for the number of blocks.
    """
    check_side(side, knobs.depth)
    return int(knobs.block_widths[-1] * (side // 2**knobs.depth) ** 2)


def embedder(knobs: EncoderKnobs, in_dim: int, embedding_dim: int, side: int) -> nn.Sequential:
    """Returns the network that embeds an image or a scan.

    Args:
        knobs: Its layers.
        in_dim: Channels of image or scan.
        embedding_dim: Width of the embedding.
        side: Height and width of image or scan.

    Raises:
        ConfigError: The images are too small for the number of blocks.
    """
    flat = flat_dim(knobs, side)
    return nn.Sequential(
        blocks((in_dim, *knobs.block_widths), knobs.downsampling),
        nn.Flatten(),
        dense(flat, knobs.dense_widths, embedding_dim, knobs.dropout),
    )


def check_side(side: int, num_halvings: int) -> None:
    """Checks that maps can be halved this often without remainder.

    No strided convolution then meets a map of one pixel, for which torch computes random gradients in bf16 on a CPU.

    Raises:
        ConfigError: The side is not a multiple of 2^num_halvings.
    """
    if side % 2**num_halvings:
        raise ConfigError(
            f"each block halves the map, so the image's side must be a multiple of {2**num_halvings}, got {side}; "
            "lower depth or fused_depth of the model"
        )
