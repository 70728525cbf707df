"""Directions of vectors."""

from jaxtyping import Float
from torch import Tensor, nn


def unit_length(vectors: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """Returns the vectors scaled to length 1, in fp32: squares leave the range of fp16. Zero stays zero."""
    return nn.functional.normalize(vectors.float(), dim=-1)


class UnitLength(nn.Module):
    """Scales vectors to length 1."""

    def forward(self, vectors: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Returns the directions of the vectors, computed in fp32, in the type that they came in."""
        return unit_length(vectors).to(vectors.dtype)
