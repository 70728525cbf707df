"""Standardised latents: a head neither sees nor is judged by the length that an encoder happens to give them."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.nn.data_statistics import Statistics

_FLOOR = 1e-3  # of the largest standard deviation: what hardly varies is not blown up

Latents = Float[Tensor, "*batch dim"]


class Standardization(Statistics):
    """Mean and standard deviation of each coordinate over the training days, as buffers; fitted once.

    Args:
        dim: Width of a latent.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.mean: Tensor
        self.std: Tensor
        self.fitted: Tensor

    def fit(self, latents: Float[Tensor, "day dim"]) -> None:
        """Takes the statistics of latents; a trial that goes on keeps those that it began with."""
        if self.fitted:
            return
        wide = latents.double()
        std = wide.std(0, correction=0)
        std = std.clamp(min=float(std.max()) * _FLOOR)
        self.mean.copy_(wide.mean(0))
        self.std.copy_(torch.where(std > 0, std, 1.0))
        self.fitted.fill_(True)

    def forward(self, latents: Latents) -> Latents:
        """Returns standardised latents in fp32."""
        return (latents.float() - self.mean.float()) / self.std.float()

    def restore(self, standardized: Latents) -> Latents:
        """Returns latents as the encoder gives them."""
        return standardized.float() * self.std.float() + self.mean.float()
