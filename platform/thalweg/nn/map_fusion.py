"""How two feature maps of one scene become one; embeddings are maps of one place.

To add a fusion, write a subclass of `MapFusion` and a line in `FUSIONS`: configurations accept its name, and
the tests run over the dictionary.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

Maps = Float[Tensor, "batch dim height width"]
Fused = Float[Tensor, "batch fused height width"]


class MapFusion(nn.Module, ABC):
    """Fuses two maps of equal shape.

    Args:
        dim: Channels of each map.

    Attributes:
        out_dim: Channels of the result.
        needs_square: Whether it has a meaning of its own only on square maps of more than one place.
    """

    needs_square: ClassVar[bool] = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    @abstractmethod
    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns the fused map, with `out_dim` channels."""


class Concat(MapFusion):
    """Stacks the channels of both."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.out_dim = 2 * dim

    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns the channels of the first map, then those of the second."""
        return torch.cat((first, second), dim=1)


class Add(MapFusion):
    """Adds element by element."""

    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns the sum."""
        return first + second


class Hadamard(MapFusion):
    """Multiplies element by element."""

    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns the element-wise product."""
        return first * second


class MatMul(MapFusion):
    """Multiplies the maps of each channel as matrices: rows of the first with columns of the second."""

    needs_square = True

    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns one matrix product for each channel."""
        return first @ second


class Gated(MapFusion):
    """Weighs the maps against each other, for each channel and place (after the GMU, arXiv:1702.01992).

    The gate sees both maps at its place: ``gate * first + (1 - gate) * second``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.gate = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns the weighted mean."""
        gate = torch.sigmoid(self.gate(torch.cat((first, second), dim=1)))
        return gate * first + (1 - gate) * second


class Attention(MapFusion):
    """Lets every place of either map attend to all places of both, then takes the mean of the two.

    One pre-norm self-attention layer (arXiv:1706.03762) over 2 * height * width tokens with a learned token of
    their modality. Even maps of one place are two keys, so that the softmax is never over a single one.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.num_heads = next(heads for heads in (4, 2, 1) if dim % heads == 0)
        self.modality_tokens = nn.Parameter(torch.randn(2, dim).mul_(0.02))
        self.norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, first: Maps, second: Maps) -> Fused:
        """Returns the mean over the modalities of the tokens and of what they attended to."""
        batch, dim, height, width = first.shape
        maps = torch.stack((first, second), dim=1).flatten(3)  # (batch, modality, dim, place)
        tokens = maps.transpose(2, 3).reshape(batch, -1, dim)
        tokens = tokens + self.modality_tokens.repeat_interleave(height * width, dim=0)
        projected = self.queries_keys_values(self.norm(tokens)).unflatten(2, (3, self.num_heads, -1))
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)  # each (batch, head, token, dim / head)
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.output(attended.transpose(1, 2).flatten(2))
        fused: Tensor = tokens.reshape(batch, 2, -1, dim).mean(1).transpose(1, 2)
        return fused.reshape(batch, dim, height, width)


FUSIONS: Mapping[str, type[MapFusion]] = {
    "add": Add,
    "attention": Attention,
    "concat": Concat,
    "gated": Gated,
    "hadamard": Hadamard,
    "matmul": MatMul,
}
