"""The fusion classifier for one device: two encoders, a fusion, a head.

Late fusion joins the embeddings of both modalities, intermediate fusion their feature maps. An embedding is
a map of one place, so that every fusion serves both stages.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.errors import ConfigError
from thalweg.nn.map_fusion import FUSIONS, MapFusion
from trainables.rgb_lidar.config import DataKnobs, Downsampling, ModelKnobs

Batch = dict[str, Tensor]


class FusionClassifier(nn.Module):
    """Tells spheres from cubes by image and scan.

    Args:
        knobs: Architecture.
        inputs: Channels of image and scan.
        side: Height and width of image and scan.

    Raises:
        ConfigError: There is no such fusion, it does not suit the stage, or the maps cannot be halved so often.
    """

    def __init__(self, knobs: ModelKnobs, inputs: DataKnobs, side: int) -> None:
        super().__init__()
        _check_side(knobs, side)
        widths = [min(knobs.channels * 2**block, knobs.max_channels) for block in range(knobs.depth)]
        self.rgb = _encoder(knobs, (inputs.rgb_channels, *widths), side)
        self.lidar = _encoder(knobs, (inputs.lidar_channels, *widths), side)
        late = knobs.fusion_stage == "late"
        self.fusion = make_fusion(knobs, knobs.embedding_dim if late else widths[-1])
        self.head = _late_head(knobs, self.fusion) if late else _map_head(knobs, self.fusion, side)

    def forward(self, batch: Batch) -> Float[Tensor, "batch logit"]:
        """Computes the logits.

        Args:
            batch: ``rgb`` (batch, channel, side, side) and ``lidar`` (batch, channel, side, side).

        Returns:
            Two logits for each scene, of cube and sphere, or one, the log-odds of a sphere; in fp32.
        """
        dtype = next(self.parameters()).dtype
        fused = self.fusion(self.rgb(batch["rgb"].to(dtype)), self.lidar(batch["lidar"].to(dtype)))
        logits: Tensor = self.head(fused)
        return logits.float()


class UnitLength(nn.Module):
    """Scales vectors to length 1."""

    def forward(self, vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Returns the directions of the vectors."""
        return nn.functional.normalize(vectors, dim=1)


def make_fusion(knobs: ModelKnobs, dim: int) -> MapFusion:
    """Returns the fusion that the knobs name, for maps of ``dim`` channels.

    Raises:
        ConfigError: There is no such fusion, or embeddings have no such fusion.
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
    return chosen(dim)


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


def _encoder(knobs: ModelKnobs, widths: Sequence[int], side: int) -> nn.Sequential:
    """Returns blocks, and for late fusion the layers that make an embedding of their map."""
    blocks = _blocks(widths, knobs.downsampling)
    if knobs.fusion_stage == "intermediate":
        return nn.Sequential(blocks)
    flat = widths[-1] * (side // 2**knobs.depth) ** 2
    layers = [blocks, nn.Flatten(), _dense(flat, _hidden(knobs), knobs.embedding_dim, knobs.dropout)]
    if knobs.normalize_embeddings:
        layers.append(UnitLength())
    return nn.Sequential(*layers, nn.Unflatten(1, (knobs.embedding_dim, 1, 1)))


def _late_head(knobs: ModelKnobs, fusion: MapFusion) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), _dense(fusion.out_dim, [knobs.head_dim], knobs.num_logits, knobs.dropout)
    )


def _map_head(knobs: ModelKnobs, fusion: MapFusion, side: int) -> nn.Sequential:
    blocks = _blocks([fusion.out_dim] * (knobs.fused_depth + 1), knobs.downsampling)
    flat = fusion.out_dim * (side // 2 ** (knobs.depth + knobs.fused_depth)) ** 2
    return nn.Sequential(blocks, nn.Flatten(), _dense(flat, _hidden(knobs), knobs.num_logits, knobs.dropout))


def _hidden(knobs: ModelKnobs) -> list[int]:
    return [width for width in (knobs.hidden_dim, knobs.neck_dim) if width]


def _blocks(widths: Sequence[int], downsampling: Downsampling) -> nn.Sequential:
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*(block(before, after, downsampling) for before, after in pairs))


def _dense(in_dim: int, hidden: Sequence[int], out_dim: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(in_dim, width), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        in_dim = width
    return nn.Sequential(*layers, nn.Linear(in_dim, out_dim))


def _check_side(knobs: ModelKnobs, side: int) -> None:
    halvings = knobs.depth + knobs.fused_depth
    if side % 2**halvings:
        raise ConfigError(
            f"each block halves the map, so the image's side must be a multiple of {2**halvings}, got {side}; "
            "lower model.depth or model.fused_depth"
        )


def log_odds(logits: Float[Tensor, "batch logit"]) -> Float[Tensor, " batch"]:
    """Returns the log-odds of a sphere, from one logit or from one for each class."""
    return logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def cross_entropy(odds: Float[Tensor, " batch"], labels: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Computes -log p(label) of each scene, in nats.

    It is the binary cross-entropy of one logit and the cross-entropy of two: both depend on the log-odds only.

    Args:
        odds: Log-odds of a sphere.
        labels: 0 for a cube, 1 for a sphere.
    """
    return nn.functional.softplus((1 - 2 * labels) * odds)


class Constant(nn.Module):
    """Gives every scene the same log-odds, whatever it shows.

    Args:
        odds: Log-odds of a sphere.
    """

    def __init__(self, odds: float) -> None:
        super().__init__()
        self.register_buffer("odds", torch.tensor([[odds]]), persistent=False)
        self.odds: Tensor

    def forward(self, batch: Batch) -> Float[Tensor, "batch 1"]:
        """Returns the log-odds once for each scene."""
        return self.odds.expand(len(batch["rgb"]), 1)
