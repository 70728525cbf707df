"""The head of diffusion: what the condition tells on average, the schedule of the noise, and the denoiser."""

from functools import partial

from jaxtyping import Float, Int64
from torch import Tensor, nn

from trainables.geo_contrastive.diffusion.denoiser import Denoiser
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs
from trainables.geo_contrastive.diffusion.schedule import NoiseSchedule
from trainables.geo_contrastive.downstream.regression import CoordinateRegression

Latents = Float[Tensor, "batch latent"]


class DiffusionHead(nn.Module):
    """Adds noise to what a regression on the condition leaves over of latents, and takes it away.

    Few days teach a network what the condition says of the mean less well than a regression does; what is left to the
    diffusion is how latents scatter around it (CorrDiff, arXiv:2309.15214, section 3). All latents are standardised,
    and so is what the regression leaves over: noise of variance 1 would drown small ones and spare large ones.

    Args:
        knobs: Schedule and sizes.
        latent_dim: Width of a latent.
    """

    def __init__(self, knobs: DiffusionKnobs, latent_dim: int) -> None:
        super().__init__()
        self.schedule = NoiseSchedule.of(knobs)
        self.regression = CoordinateRegression(latent_dim)
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
        left = (whole - self.regression(masked)) / self.regression.spread.float()
        found = self.denoiser(self.schedule.noisy(left, noise, steps), steps, masked)
        errors: Tensor = (found - self.schedule.velocity(left, noise, steps)).square().mean(1)
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
        left = self.schedule.sample(partial(self._denoise, condition), noise.flatten(0, 1))
        usual: Tensor = self.regression(masked)[:, None]
        return usual + left.reshape(noise.shape) * self.regression.spread.float()

    def _denoise(self, condition: Latents, noisy: Latents, steps: Int64[Tensor, " batch"]) -> Latents:
        velocity: Tensor = self.denoiser(noisy, steps, condition)
        return velocity
