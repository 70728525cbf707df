"""Knobs of the diffusion of latents; light, for search spaces import them."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.geo_contrastive.downstream.knobs import HeadKnobs

BETA_START = 1e-4
MAX_SIGNAL = 0.1
MIN_SIGNAL = 1e-18
"""Its square, by which schedulers divide, must not be 0 in fp32: samples would not be numbers."""


class DiffusionKnobs(HeadKnobs):
    """Denoising diffusion (arXiv:2006.11239) of standardised latents, given the latent of a masked field."""

    kind: Literal["diffusion"] = "diffusion"
    """Samples of latents."""
    num_steps: int = Field(default=1000, ge=100, le=4000, multiple_of=50)
    """Steps of the noise; evaluation takes 50 of them."""
    beta_end: float = Field(default=0.02, ge=0.001, le=0.2)
    """Variance that the last step adds; from 1e-4 in the first one it grows linearly."""
    hidden_dim: int = Field(default=1024, ge=8, le=4096)
    """Width of the network that tells latents from noise."""
    num_blocks: int = Field(default=4, ge=1, le=16)
    """Its residual blocks."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in the blocks."""
    mask: float = Field(default=0.7, ge=0, le=0.99)
    """Share of cells that are hidden from the condition in training; evaluation hides 70 %."""

    @model_validator(mode="after")
    def _ends_in_noise(self) -> Self:
        left = signal_left(self.num_steps, self.beta_end)
        laws = (
            (
                left > MAX_SIGNAL,
                f"at most {MAX_SIGNAL:g}",
                "samples start from noise alone",
                "raise",
                MAX_SIGNAL,
            ),
            (left < MIN_SIGNAL, f"at least {MIN_SIGNAL:g}", "fp32 squares no less", "lower", MIN_SIGNAL),
        )
        for is_beyond, law, reason, way, bound in laws:
            if is_beyond:
                raise ValueError(
                    f"the last step must leave {law} of a latent, for {reason}, got {left:.2g} with num_steps "
                    f"{self.num_steps} and beta_end {self.beta_end:g}; {way} one of them to a product of about "
                    f"{-4 * math.log(bound):.2g}"
                )
        return self


def signal_left(num_steps: int, beta_end: float) -> float:
    """Returns the factor of the latent in what the last step holds: the root of the product of all 1 - beta."""
    slope = (beta_end - BETA_START) / (num_steps - 1)
    return math.exp(0.5 * sum(math.log1p(-BETA_START - slope * step) for step in range(num_steps)))
