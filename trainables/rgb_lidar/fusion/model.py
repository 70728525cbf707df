"""The fusion classifier for one device: two encoders, a fusion, a head.

Late fusion joins the embeddings of both modalities, intermediate fusion their feature maps. An embedding is
a feature map of size 1 x 1, so that fusions work for both. Early fusion stacks the channels of their pixels, which one
encoder reads.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.errors import ConfigError
from thalweg.nn.contrastive.unit_length import UnitLength
from thalweg.nn.map_fusion import FUSIONS, MapFusion
from thalweg.nn.unallocated import unallocated
from trainables.rgb_lidar.knobs import DataKnobs, FusionKnobs
from trainables.rgb_lidar.model.encoders import blocks, check_side, dense, embedder

_MAX_WIDTH = 8192


class FusionClassifier(nn.Module):
    """Classifies scenes as cubes or spheres by image and scan.

    Args:
        knobs: Architecture.
        inputs: Channels of image and scan.
        side: Height and width of image and scan.

    Raises:
        ConfigError: There is no such fusion, it does not suit the fusion stage, the images are too small for the number
            of blocks, or no width gives the number of parameters.
    """

    def __init__(self, knobs: FusionKnobs, inputs: DataKnobs, side: int) -> None:
        super().__init__()
        check_side(side, knobs.depth + knobs.fused_depth)
        knobs = sized(knobs, inputs, side)
        self._is_early = knobs.fusion_stage == "early"
        if self._is_early:
            self.both = _encoder(knobs, inputs.rgb_channels + inputs.lidar_channels, side)
            self.head = _map_head(knobs, knobs.block_widths[-1], side)
            return
        self.rgb = _encoder(knobs, inputs.rgb_channels, side)
        self.lidar = _encoder(knobs, inputs.lidar_channels, side)
        self.fusion = make_fusion(knobs, side)
        head = _late_head if knobs.fusion_stage == "late" else partial(_map_head, side=side)
        self.head = head(knobs, self.fusion.out_dim)

    def forward(self, batch: Batch) -> Float[Tensor, "batch logit"]:
        """Computes the logits.

        Args:
            batch: ``rgb`` (batch, channel, side, side) and ``lidar`` (batch, channel, side, side).

        Returns:
            Two logits for each scene, of cube and sphere, or one, the log-odds of a sphere; in fp32.
        """
        dtype = next(self.parameters()).dtype
        images, scans = batch["rgb"].to(dtype), batch["lidar"].to(dtype)
        if self._is_early:
            fused = self.both(torch.cat((images, scans), dim=1))
        else:
            fused = self.fusion([self.rgb(images), self.lidar(scans)])
        logits: Tensor = self.head(fused)
        return logits.float()


def make_fusion(knobs: FusionKnobs, side: int) -> MapFusion:
    """Returns the fusion that the knobs name, for images and scans of this height and width.

    Raises:
        ConfigError: There is no such fusion, or it cannot join embeddings or maps of size 1 x 1.
    """
    if knobs.fusion not in FUSIONS:
        raise ConfigError(f"model.fusion must be one of {', '.join(sorted(FUSIONS))}, got {knobs.fusion!r}")
    chosen = FUSIONS[knobs.fusion]
    if chosen.needs_square and knobs.fusion_stage == "late":
        others = ", ".join(sorted(name for name, kind in FUSIONS.items() if not kind.needs_square))
        raise ConfigError(
            f"model.fusion {knobs.fusion!r} needs maps, got fusion_stage 'late'; "
            f"set fusion_stage to 'intermediate' or fusion to one of {others}"
        )
    if chosen.needs_square and side == 2**knobs.depth:
        raise ConfigError(
            f"model.fusion {knobs.fusion!r} needs maps of more than one place, where it is no product of numbers, got "
            f"maps of side 1 behind {knobs.depth} blocks for images of side {side}; lower model.depth, or set fusion "
            "to 'hadamard', which is the same there"
        )
    return chosen(knobs.embedding_dim if knobs.fusion_stage == "late" else knobs.block_widths[-1])


def sized(knobs: FusionKnobs, inputs: DataKnobs, side: int) -> FusionKnobs:
    """Returns the knobs with the width that comes nearest to ``num_parameters``, which then becomes None.

    Other widths stay, so the number of parameters is linear in this width. Two models on torch's meta device determine
    the line.

    Raises:
        ConfigError: Even the smallest width gives more parameters, or the largest one fewer.
    """
    if knobs.num_parameters is None:
        return knobs
    name = "hidden_dim" if knobs.hidden_dim else "neck_dim"

    def with_width(width: int) -> FusionKnobs:
        return knobs.model_copy(update={name: width, "num_parameters": None})

    with unallocated():
        one, two = (_count(FusionClassifier(with_width(width), inputs, side)) for width in (1, 2))
    smallest, largest = one, one + (_MAX_WIDTH - 1) * (two - one)
    if not smallest <= knobs.num_parameters <= largest:
        raise ConfigError(
            f"model.num_parameters must be within {smallest:,} and {largest:,}, which model.{name} can give here, "
            f"got {knobs.num_parameters:,}; choose another, or change channels and depth"
        )
    return with_width(1 + round((knobs.num_parameters - one) / (two - one)))


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _encoder(knobs: FusionKnobs, in_dim: int, side: int) -> nn.Sequential:
    """Returns the blocks of one modality or of both, and for late fusion the layers that embed their map."""
    if knobs.fusion_stage != "late":
        return nn.Sequential(blocks((in_dim, *knobs.block_widths), knobs.downsampling))
    layers = embedder(knobs, in_dim, knobs.embedding_dim, side)
    if knobs.normalize_embeddings:
        layers.append(UnitLength())
    return layers.append(nn.Unflatten(1, (knobs.embedding_dim, 1, 1)))


def _late_head(knobs: FusionKnobs, fused_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), dense(fused_dim, [knobs.head_dim], knobs.num_logits, knobs.dropout))


def _map_head(knobs: FusionKnobs, fused_dim: int, side: int) -> nn.Sequential:
    maps = blocks([fused_dim] * (knobs.fused_depth + 1), knobs.downsampling)
    flat = fused_dim * (side // 2 ** (knobs.depth + knobs.fused_depth)) ** 2
    return nn.Sequential(maps, nn.Flatten(), dense(flat, knobs.dense_widths, knobs.num_logits, knobs.dropout))
