"""The schedule of the noise, by the schedulers of ``diffusers``, which are imported when they are needed.

All is computed in fp32: in half precision a scheduler adds no noise in its first steps. No latent is clipped; by
default the schedulers would bring all to [-1, 1], as if they were pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from trainables.geo_contrastive.diffusion.knobs import BETA_START, DiffusionKnobs

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, DDPMScheduler

NUM_SAMPLING_STEPS = 50
"""Steps of a sample in evaluation, evenly spaced, from the last one of all.

Each step shrinks what a latent varies by: with a perfect denoiser 50 of 1000 steps leave 0.96 of a standard deviation
of 1, 20 steps 0.91 (0.91 and 0.79 of one of 0.3).
"""

Latents = Float[Tensor, "batch latent"]
Steps = Int64[Tensor, " batch"]
Denoise = Callable[[Latents, Steps], Latents]


@dataclass(frozen=True)
class NoiseSchedule:
    """Adds noise to latents, and takes it away.

    Attributes:
        num_steps: Steps of the noise; a multiple of `NUM_SAMPLING_STEPS`.
        beta_end: Variance of the last step.
    """

    num_steps: int
    beta_end: float

    @classmethod
    def of(cls, knobs: DiffusionKnobs) -> "NoiseSchedule":
        """Returns the schedule of a configuration."""
        return cls(knobs.num_steps, knobs.beta_end)

    def noisy(self, latents: Latents, noise: Latents, steps: Steps) -> Latents:
        """Returns latents with the noise of a step each (Eq. 4 of arXiv:2006.11239)."""
        found: Tensor = _ddpm(self).add_noise(latents.float(), noise.float(), steps)
        return found

    def velocity(self, latents: Latents, noise: Latents, steps: Steps) -> Latents:
        """Returns what a network is to tell of `noisy` latents (arXiv:2202.00512, section 4).

        It is ``a * noise - b * latents`` where they are ``a * latents + b * noise``. The noise itself would do as well
        in theory. But at the last of 1000 steps the latent is 1/160 of what the network sees, and an error in the noise
        becomes 160 times as large in the latent, with which a sample begins.
        """
        found: Tensor = _ddpm(self).get_velocity(latents.float(), noise.float(), steps)
        return found

    @torch.no_grad()
    def sample(self, denoise: Denoise, noise: Latents) -> Latents:
        """Returns the latents that noise turns into, without further noise (DDIM, arXiv:2010.02502).

        Args:
            denoise: Tells the velocity of latents at a step, the same for all of them.
            noise: Of the standard normal distribution.
        """
        scheduler = _ddim(self)
        latents = noise.float()
        for step in scheduler.timesteps.tolist():
            steps = torch.full((len(latents),), step, device=latents.device)
            latents = scheduler.step(denoise(latents, steps).float(), step, latents, return_dict=False)[0]
        return latents


def _settings(schedule: NoiseSchedule) -> dict[str, Any]:
    return {
        "num_train_timesteps": schedule.num_steps,
        "beta_start": BETA_START,
        "beta_end": schedule.beta_end,
        "beta_schedule": "linear",
        "prediction_type": "v_prediction",
        "clip_sample": False,
    }


@lru_cache(maxsize=8)
def _ddpm(schedule: NoiseSchedule) -> "DDPMScheduler":
    from diffusers import DDPMScheduler

    return DDPMScheduler(**_settings(schedule))


@lru_cache(maxsize=8)
def _ddim(schedule: NoiseSchedule) -> "DDIMScheduler":
    from diffusers import DDIMScheduler

    # "trailing" begins at the last step, where latents are noise; the default begins at 950 of 1000.
    scheduler = DDIMScheduler(**_settings(schedule), timestep_spacing="trailing")
    scheduler.set_timesteps(NUM_SAMPLING_STEPS)
    return scheduler
