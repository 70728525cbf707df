"""The head of diffusion: the schedule of the noise, and the denoiser."""

from functools import partial

from jaxtyping import Float, Int64
from torch import Tensor, nn

from trainables.geo_contrastive.diffusion.denoiser import Denoiser
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs
from trainables.geo_contrastive.diffusion.schedule import NoiseSchedule

Latents = Float[Tensor, "batch latent"]


class DiffusionHead(nn.Module):
    """Adds noise to latents and takes it away.

    All latents are standardised: noise of variance 1 would drown small ones and spare large ones.

    Args:
        knobs: Schedule and sizes.
        latent_dim: Width of a latent.
    """

    def __init__(self, knobs: DiffusionKnobs, latent_dim: int) -> None:
        super().__init__()
        self.schedule = NoiseSchedule.of(knobs)
        self.denoiser = Denoiser(knobs, latent_dim)

    def forward(
        self, whole: Latents, masked: Latents, noise: Latents, steps: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Returns the mean squared error of the velocity that the denoiser tells.

        Args:
            whole: Latents of whole fields.
            masked: Latents of masked fields, the condition.
            noise: Noise of the standard normal distribution.
            steps: Step of each.
        """
        found = self.denoiser(self.schedule.noisy(whole, noise, steps), steps, masked)
        errors: Tensor = (found - self.schedule.velocity(whole, noise, steps)).square().mean(1)
        return errors

    def sample(
        self, masked: Latents, noise: Float[Tensor, "batch member latent"]
    ) -> Float[Tensor, "batch member latent"]:
        """Returns latents of whole fields, several for each masked one.

        Args:
            masked: Latents of masked fields.
            noise: What each sample starts from.
        """
        condition = masked.repeat_interleave(noise.shape[1], dim=0)
        found = self.schedule.sample(partial(self._denoise, condition), noise.flatten(0, 1))
        return found.reshape(noise.shape)

    def _denoise(self, condition: Latents, noisy: Latents, steps: Int64[Tensor, " batch"]) -> Latents:
        velocity: Tensor = self.denoiser(noisy, steps, condition)
        return velocity
