"""How the embeddings of both sensors become one."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.embedding_fusion import EMBEDDING_FUSIONS, FusionSizes
from thalweg.nn.map_fusion import FUSIONS
from trainables.sentinel_supcon.knobs import Fusion


class SensorFusion(nn.Module):
    """Fuses one embedding of each sensor, as maps of size 1 x 1 or by their mean.

    Args:
        name: The fusion.
        dim: Width of an embedding.

    Attributes:
        out_dim: Width of the result.
    """

    def __init__(self, name: Fusion, dim: int) -> None:
        super().__init__()
        self.is_mean = name == "mean"
        if self.is_mean:
            self.joined: nn.Module = EMBEDDING_FUSIONS["average"](FusionSizes(dim=dim, num_tokens=2))
            self.out_dim = dim
            return
        self.joined = maps = FUSIONS[name](dim)
        self.out_dim = maps.out_dim

    def forward(self, vectors: Sequence[Float[Tensor, "batch dim"]]) -> Float[Tensor, "batch fused"]:
        """Returns the fused embedding; sensors are always in the same order."""
        if self.is_mean:
            tokens = torch.stack(list(vectors), dim=1)
            fused: Tensor = self.joined(tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool))
            return fused
        joined: Tensor = self.joined([each[:, :, None, None] for each in vectors])
        return joined.flatten(1)
