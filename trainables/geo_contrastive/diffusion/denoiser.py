"""The network that tells a latent from its noise, given the step and the latent of a masked field."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.nn.dropout import Dropout
from thalweg.nn.film import FiLM
from thalweg.nn.position import sinusoidal
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs

TIME_DIM = 128
"""Width of the code of a step."""

Latents = Float[Tensor, "batch latent"]


class ModulatedBlock(nn.Module):
    """A residual block of two linear layers that step and condition modulate.

    Args:
        dim: Width.
        dropout: Dropout between the layers.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.film = FiLM(dim, dim, "one_plus")
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), Dropout(dropout), nn.Linear(dim, dim))

    def forward(self, x: Float[Tensor, "batch dim"], beside: Float[Tensor, "batch dim"]) -> Tensor:
        """Adds a change."""
        scale, shift = self.film(beside)
        result: Tensor = x + self.layers(scale * self.norm(x) + shift)
        return result


class Denoiser(nn.Module):
    """Tells the velocity of standardised latents with noise; `NoiseSchedule.velocity` says what that is.

    The condition enters twice: beside the noisy latent, and with the step as a modulation of every block. It is no key
    of an attention: a softmax over a single key is 1 whatever the key, so that key and query would never learn. The
    velocity begins at 0: samples of an untrained network are normal.

    Args:
        knobs: Sizes.
        latent_dim: Width of a latent.
    """

    codes: Tensor

    def __init__(self, knobs: DiffusionKnobs, latent_dim: int) -> None:
        super().__init__()
        dim = knobs.hidden_dim
        self.register_buffer("codes", sinusoidal(knobs.num_steps, TIME_DIM), persistent=False)
        self.input = nn.Linear(2 * latent_dim, dim)
        self.beside = nn.Sequential(
            nn.Linear(TIME_DIM + latent_dim, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU()
        )
        self.blocks = nn.ModuleList(ModulatedBlock(dim, knobs.dropout) for _ in range(knobs.num_blocks))
        last = nn.Linear(dim, latent_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.output = nn.Sequential(nn.LayerNorm(dim), last)

    def forward(self, noisy: Latents, steps: Int64[Tensor, " batch"], condition: Latents) -> Latents:
        """Returns the velocity, in fp32.

        Args:
            noisy: Standardised latents with noise.
            steps: Step of the noise of each.
            condition: Standardised latents of masked fields.
        """
        dtype = self.input.weight.dtype
        noisy, condition = noisy.to(dtype), condition.to(dtype)
        beside = self.beside(torch.cat([self.codes[steps].to(dtype), condition], dim=1))
        x = self.input(torch.cat([noisy, condition], dim=1))
        for block in self.blocks:
            x = block(x, beside)
        velocity: Tensor = self.output(x)
        return velocity.float()
