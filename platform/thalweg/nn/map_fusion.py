"""Fusion of modalities as feature maps: joins one map of each modality into one; embeddings are maps of size 1 x 1.

To add a fusion, write a subclass of `MapFusion` and a line in `FUSIONS`: configurations accept its name, and
the tests run over the dictionary.
"""

import functools
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.errors import ConfigError

Map = Float[Tensor, "batch dim height width"]
Fused = Float[Tensor, "batch fused height width"]


class MapFusion(nn.Module, ABC):
    """Fuses maps of equal shape, one of each modality.

    Args:
        dim: Channels of each map.
        num_maps: Number of maps, two or more.

    Attributes:
        num_maps: Number of maps.
        out_dim: Channels of the result.
        needs_square: Whether it needs square maps that are larger than 1 x 1.

    Raises:
        ConfigError: There are fewer than two maps.
    """

    needs_square: ClassVar[bool] = False

    def __init__(self, dim: int, num_maps: int = 2) -> None:
        super().__init__()
        if num_maps < 2:
            raise ConfigError(
                f"a fusion must join at least 2 maps, got {num_maps}; use the map of one modality as it is"
            )
        self.num_maps = num_maps
        self.out_dim = dim

    def forward(self, maps: Sequence[Map]) -> Fused:
        """Returns the fused map, with `out_dim` channels.

        Args:
            maps: As many maps as the fusion was built for, always in the same order of modalities.
        """
        if len(maps) != self.num_maps:
            raise ValueError(f"a fusion of {self.num_maps} maps must be given as many, got {len(maps)}")
        return self.fuse(maps)

    @abstractmethod
    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns the fused map."""


class Concat(MapFusion):
    """Concatenates the channels of all maps."""

    def __init__(self, dim: int, num_maps: int = 2) -> None:
        super().__init__(dim, num_maps)
        self.out_dim = num_maps * dim

    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns the channels of the first map, then those of the second, and so on."""
        return torch.cat(list(maps), dim=1)


class Add(MapFusion):
    """Adds the maps element by element."""

    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns the sum."""
        return functools.reduce(operator.add, maps)


class Hadamard(MapFusion):
    """Multiplies the maps element by element."""

    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns the element-wise product."""
        return functools.reduce(operator.mul, maps)


class MatMul(MapFusion):
    """Multiplies the maps of each channel as matrices: rows of the first with columns of the second.

    More than two maps are multiplied in their order.
    """

    needs_square = True

    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns one matrix product for each channel."""
        return functools.reduce(operator.matmul, maps)


class Gated(MapFusion):
    """Computes a gated mean of the maps, for each channel and place (after the GMU, arXiv:1702.01992).

    The gate of a place depends on all maps at this place. Two maps give ``gate * first + (1 - gate) * second`` with a
    sigmoid gate. The weights of more maps are a softmax over one logit for each map, the last of which is always 0; for
    two maps this equals the sigmoid.
    """

    def __init__(self, dim: int, num_maps: int = 2) -> None:
        super().__init__(dim, num_maps)
        self.gate = nn.Conv2d(num_maps * dim, (num_maps - 1) * dim, kernel_size=1)

    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns the weighted mean."""
        shares = self._shares(self.gate(torch.cat(list(maps), dim=1)))
        weighted = (share * each for share, each in zip(shares, maps, strict=True))
        return functools.reduce(operator.add, weighted)

    def _shares(self, logits: Tensor) -> Sequence[Tensor]:
        if self.num_maps == 2:
            gate = torch.sigmoid(logits)
            return gate, 1 - gate
        batch, _, height, width = logits.shape
        by_map = logits.reshape(batch, self.num_maps - 1, -1, height, width)
        whole = torch.cat((by_map, torch.zeros_like(by_map[:, :1])), dim=1)
        return whole.softmax(1).unbind(1)


class Attention(MapFusion):
    """Lets every place of each map attend to all places of all maps, then takes the mean over the maps.

    One pre-norm self-attention layer (arXiv:1706.03762) over num_maps * height * width tokens with a learned token of
    their modality. Even maps of size 1 x 1 give at least two keys, so that the softmax is never over a single key.
    """

    def __init__(self, dim: int, num_maps: int = 2) -> None:
        super().__init__(dim, num_maps)
        self.num_heads = next(heads for heads in (4, 2, 1) if dim % heads == 0)
        self.modality_tokens = nn.Parameter(torch.randn(num_maps, dim).mul_(0.02))
        self.norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def fuse(self, maps: Sequence[Map]) -> Fused:
        """Returns the mean over the modalities of the tokens and of what they attended to."""
        batch, dim, height, width = maps[0].shape
        stacked = torch.stack(list(maps), dim=1).flatten(3)  # (batch, modality, dim, place)
        tokens = stacked.transpose(2, 3).reshape(batch, -1, dim)
        tokens = tokens + self.modality_tokens.repeat_interleave(height * width, dim=0)
        projected = self.queries_keys_values(self.norm(tokens)).unflatten(2, (3, self.num_heads, -1))
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)  # each (batch, head, token, dim / head)
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.output(attended.transpose(1, 2).flatten(2))
        fused: Tensor = tokens.reshape(batch, self.num_maps, -1, dim).mean(1).transpose(1, 2)
        return fused.reshape(batch, dim, height, width)


FUSIONS: Mapping[str, type[MapFusion]] = {
    "add": Add,
    "attention": Attention,
    "concat": Concat,
    "gated": Gated,
    "hadamard": Hadamard,
    "matmul": MatMul,
}
