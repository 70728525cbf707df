"""Scales vectors to unit length (L2 normalisation)."""

from jaxtyping import Float
from torch import Tensor, nn


def unit_length(vectors: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """Scales vectors to length 1, in fp32, because squares exceed the range of fp16; zero stays zero."""
    return nn.functional.normalize(vectors.float(), dim=-1)


class UnitLength(nn.Module):
    """Scales vectors to length 1."""

    def forward(self, vectors: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Scales vectors to length 1; computes in fp32 and returns their own type."""
        return unit_length(vectors).to(vectors.dtype)
