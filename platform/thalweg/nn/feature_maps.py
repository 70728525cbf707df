"""Weighted feature maps: each decoder layer reads its own mixture of an encoder's layers."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

Map = Float[Tensor, "batch token dim"]


class WeightedFeatureMaps(nn.Module):
    """Mixes the outputs of encoder layers for each decoder layer (inter-block attention of arXiv:2401.14391).

    A decoder layer's mixture is a learned weighted sum of all maps, the same for every token, and has a
    normalisation of its own.

    Args:
        num_maps: Outputs of the encoder that are mixed.
        num_layers: Layers of the decoder.
        dim: Width of the encoder's tokens.
    """

    def __init__(self, num_maps: int, num_layers: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_layers, num_maps))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_layers))
        nn.init.normal_(self.weight, std=num_maps**-0.5)

    def forward(self, maps: Sequence[Map]) -> list[Map]:
        """Returns the mixture that each decoder layer reads.

        Args:
            maps: Outputs of the encoder, of equal shape.
        """
        stacked = torch.stack(list(maps))  # (map, batch, token, dim)
        mixed = (self.weight @ stacked.flatten(1)).reshape(-1, *stacked.shape[1:])
        return [norm(tokens) for norm, tokens in zip(self.norms, mixed, strict=True)]
