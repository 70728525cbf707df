"""Fusion of modalities as token sequences."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.transformer import EncoderLayer, LayerSizes


class TokenFusion(nn.Module):
    """Transformer layers over the concatenated tokens of all modalities (the joint stream of arXiv:2210.07839).

    The number of modalities is one or more and may differ from pass to pass.

    Args:
        sizes: Sizes of the layers.
        depth: Number of layers; 0 leaves the tokens as they are.
    """

    def __init__(self, sizes: LayerSizes, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(EncoderLayer(sizes) for _ in range(depth)))
        if depth:
            self.layers.append(nn.LayerNorm(sizes.dim))

    def forward(
        self, sequences: Sequence[Float[Tensor, "batch _ dim"]]
    ) -> list[Float[Tensor, "batch _ dim"]]:
        """Returns the sequences, in order and of the same lengths, after mixing."""
        if not len(self.layers):
            return list(sequences)
        fused = self.layers(torch.cat(list(sequences), dim=1))
        return list(fused.split([sequence.shape[1] for sequence in sequences], dim=1))
