"""The temperature of a contrastive loss, fixed or learnt."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_LOG_SCALE = math.log(100.0)
"""Logarithm of the largest inverse of a learnable temperature."""


class Temperature(nn.Module):
    """Multiplies embeddings by the inverse temperature, so that their products with others are logits.

    The parameter of a learnable temperature is the logarithm of its inverse. The inverse never exceeds 100 (CLIP,
    arXiv:2103.00020, section 2.5): at this limit the logarithm is reflected, so that the gradient pushes a parameter
    beyond the limit back, and it cannot drift to where the loss does not depend on it. Clipping would not do: the
    optimizer keeps its own copy of the parameter, and a clipped gradient depends on how a batch is cut into
    micro-batches.

    Args:
        initial: The temperature, or the initial value of a learnable one.
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
        """Returns the embeddings times the inverse temperature."""
        if self.log_scale is None:
            return self.fixed * embeddings
        return self.scale() * embeddings

    def on_both_sides(self, embeddings: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Scales embeddings by the root of the inverse temperature, so that products among them are logits."""
        if self.log_scale is None:
            return math.sqrt(self.fixed) * embeddings
        return self.scale().sqrt() * embeddings

    def scale(self) -> Float[Tensor, "1"]:
        """Returns the inverse of a learnable temperature, in fp32."""
        assert self.log_scale is not None
        log_scale = self.log_scale.float()
        reflected = torch.where(log_scale > MAX_LOG_SCALE, 2 * MAX_LOG_SCALE - log_scale, log_scale)
        return reflected.exp()
