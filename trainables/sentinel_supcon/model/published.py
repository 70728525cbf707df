"""ResNets (arXiv:1512.03385) and the Swin Transformer (arXiv:2103.14030) of timm, for any number of bands.

timm is imported where a network is built: it takes seconds.
"""

from torch import nn

from thalweg.nn.norm import BatchNorm
from trainables.sentinel_supcon.model.alexnet import scaled

RESNET18_STEM_DIM = 64
"""Channels behind a stem in front of `resnet18_trunk`."""
_RESNET_CHANNELS = (64, 128, 256, 512)
_SWIN_DIM, _SWIN_HEADS = 96, 3


def resnet50(in_dim: int, width: float, out_dim: int) -> nn.Sequential:
    """Returns a ResNet50 and two dense layers as wide as its features, as published for DFC2020.

    Args:
        in_dim: Bands.
        width: Factor on the channels behind the first layer.
        out_dim: Width of the embedding.
    """
    from timm.models.resnet import Bottleneck, ResNet

    network = ResNet(
        Bottleneck,
        (3, 4, 6, 3),
        num_classes=0,
        in_chans=in_dim,
        channels=_channels(width),
        norm_layer=BatchNorm,
    )
    return nn.Sequential(network, *_projection(network.num_features, out_dim))


def resnet18_trunk(width: float, out_dim: int) -> nn.Sequential:
    """Returns a ResNet18 without its first convolution, in the place of which there are stems, and a dense layer.

    Args:
        width: Factor on the channels behind the first layer.
        out_dim: Width of the embedding.
    """
    from timm.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, (2, 2, 2, 2), num_classes=0, channels=_channels(width), norm_layer=BatchNorm)
    network.conv1 = nn.Identity()
    return nn.Sequential(network, nn.Linear(network.num_features, out_dim))


def swin_t(in_dim: int, width: float, out_dim: int, size: int) -> nn.Sequential:
    """Returns a Swin-T with two dense layers as wide as its features; nothing in it is random.

    Args:
        in_dim: Bands.
        width: Factor on all channels, which are rounded to a multiple of the heads.
        out_dim: Width of the embedding.
        size: Side of the images.
    """
    from timm.models.swin_transformer import SwinTransformer

    dim = _SWIN_HEADS * scaled(_SWIN_DIM // _SWIN_HEADS, width)
    network = SwinTransformer(
        img_size=size, in_chans=in_dim, num_classes=0, embed_dim=dim, drop_path_rate=0.0
    )
    return nn.Sequential(network, *_projection(network.num_features, out_dim))


def _channels(width: float) -> tuple[int, ...]:
    return tuple(scaled(dim, width) for dim in _RESNET_CHANNELS)


def _projection(dim: int, out_dim: int) -> tuple[nn.Module, ...]:
    return nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out_dim)
