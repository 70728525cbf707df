"""Decoder of one modality: it predicts masked patches, and only those."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from thalweg.nn.position import encode_places, sinusoidal
from thalweg.nn.transformer import CrossLayer, LayerSizes


class Decoder(nn.Module):
    """Reads the encoder's tokens once for each masked patch (CrossMAE, arXiv:2401.14391).

    Args:
        sizes: Sizes of the blocks.
        depth: Number of blocks.
        context_dim: Width of the encoder's tokens.
        num_steps: Days in a window.
        num_places: Places that have a learned position.
        places: Place of each patch.
        num_values: Numbers to predict per patch.
        self_attention: Whether the queries also see each other.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        depth: int,
        *,
        context_dim: int,
        num_steps: int,
        num_places: int,
        places: Int[Tensor, " patch"],
        num_values: int,
        self_attention: bool,
    ) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(sizes.dim))
        self.position = nn.Parameter(torch.empty(num_places, sizes.dim))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("time", sinusoidal(num_steps, sizes.dim), persistent=False)
        self.places: Tensor
        self.time: Tensor
        self.layers = nn.ModuleList(
            CrossLayer(sizes, context_dim, self_attention=self_attention) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(sizes.dim)
        self.head = nn.Linear(sizes.dim, num_values)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(
        self,
        context: Float[Tensor, "batch token context"],
        masked: Int[Tensor, "batch step masked"],
        modality: Float[Tensor, " dim"],
    ) -> Float[Tensor, "batch step masked value"]:
        """Predicts the content of the masked patches."""
        place = self.position[self.places] + self.mask_token + modality
        x = encode_places(place, self.time, masked).flatten(1, 2)
        for layer in self.layers:
            x = layer(x, context)
        values: Tensor = self.head(self.norm(x))
        return values.reshape(*masked.shape, -1)
