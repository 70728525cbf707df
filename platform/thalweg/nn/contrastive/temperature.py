"""The temperature of a contrastive loss, fixed or learnt."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_LOG_SCALE = math.log(100.0)
"""Logarithm of the largest inverse of a learnable temperature."""


class Temperature(nn.Module):
    """Multiplies embeddings by the inverse temperature, so that their products with others are logits.

    A learnable one is kept as its logarithm. The scale never exceeds 100 (CLIP, arXiv:2103.00020, section 2.5): at this
    limit its logarithm is reflected, so that a parameter that is pulled beyond is pushed back by the same gradient and
    cannot drift to where nothing depends on it. Clipping the parameter or its gradient would not do: an optimizer keeps
    a copy of the one, and what clips the other clips each micro-batch for itself, so that their sum is another.

    Args:
        initial: The temperature, or where a learnable one begins.
        learnable: Whether it trains.
    """

    def __init__(self, initial: float, *, learnable: bool) -> None:
        super().__init__()
        self.fixed = 1 / initial
        self.log_scale: nn.Parameter | None = None
        if learnable:
            # One axis, for DeepSpeed takes no parameter without any.
            self.log_scale = nn.Parameter(torch.tensor([-math.log(initial)]))

    def forward(self, embeddings: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Returns the embeddings, scaled."""
        if self.log_scale is None:
            return self.fixed * embeddings
        return self.scale() * embeddings

    def on_both_sides(self, embeddings: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Returns the embeddings times the root of the scale, so that their products with one another are logits."""
        if self.log_scale is None:
            return math.sqrt(self.fixed) * embeddings
        return self.scale().sqrt() * embeddings

    def scale(self) -> Float[Tensor, "1"]:
        """Returns the inverse of a learnable temperature, in fp32."""
        assert self.log_scale is not None
        log_scale = self.log_scale.float()
        reflected = torch.where(log_scale > MAX_LOG_SCALE, 2 * MAX_LOG_SCALE - log_scale, log_scale)
        return reflected.exp()
