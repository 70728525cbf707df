"""The task of diffusion: samples of the days that a field with seven tenths of its cells hidden may belong to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices, Keys, Measure, Outputs, SplitName
from thalweg.stage_contract import Loss, Progress, StageLoss
from trainables.geo_contrastive.data.draws import branch, normal, stream, uniform
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.diffusion.calendar_ensemble import MAX_DISTANCE, CalendarEnsemble
from trainables.geo_contrastive.diffusion.conditions import ConditionedLatents
from trainables.geo_contrastive.diffusion.head import DiffusionHead
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs
from trainables.geo_contrastive.diffusion.realism import NUM_NEIGHBOURS, REAL, SAMPLE, SampleRealism
from trainables.geo_contrastive.diffusion.schedule import NUM_SAMPLING_STEPS
from trainables.geo_contrastive.diffusion.scores import ENSEMBLE, NUM_MEMBERS, EnsembleScores, PointScore
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.masked import masked_days, standardized_latents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.task import DownstreamTask
from trainables.geo_contrastive.evaluation import subset
from trainables.geo_contrastive.evaluation.latents import CLEAN, MASKED

SAMPLING_SEED = 1_959
"""Seed of the noise that samples of an evaluation start from; with the day and the member it decides which."""


class DiffusionTask(DownstreamTask):
    """Trains a denoiser of latents of whole fields, given the latents of masked ones."""

    @property
    def _diffusion(self) -> DiffusionKnobs:
        assert isinstance(self.head_knobs, DiffusionKnobs)
        return self.head_knobs

    def make_head(self, model: HeadedModel) -> nn.Module:
        """Returns the denoiser."""
        return DiffusionHead(self._diffusion, self.config.encoder.latent_dim)

    def training_latents(self) -> TrainingLatents:
        """Returns latents, and the regression on their conditions."""
        return ConditionedLatents(self.config.data.variables, self._diffusion.mask)

    def head_loss(self, latents: TrainingLatents) -> StageLoss:
        """Returns the error of the velocity."""
        return VelocityError(latents)

    def head_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Returns positions in the split, masked days, and the step and the noise of each latent."""
        steps = uniform(branch(keys, stream("diffusion step"))) * self._diffusion.num_steps
        noise = normal(branch(keys, stream("diffusion noise")), self.config.encoder.latent_dim)
        return {
            "position": torch.from_numpy(indices),
            **masked_days(data, indices, branch(keys, stream("condition")), self._diffusion.mask),
            "diffusion_step": torch.from_numpy(steps.astype(np.int64)),
            "diffusion_noise": torch.from_numpy(noise.astype(np.float32)),
        }

    def evaluation_batch(self, data: FieldData, split: SplitName, indices: Indices) -> Batch:
        """Adds which days are sampled."""
        batch = super().evaluation_batch(data, split, indices)
        return {**batch, subset.SCORED: subset.scored_days(indices, data.num_samples(split))}

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Adds samples of the days that are scored, decoded, and one sampled latent of each beside the real ones."""
        found = super().predict(model, batch)
        if not isinstance(model, HeadedModel):
            return found
        head, rows = cast(DiffusionHead, model.head), subset.rows_scored(batch)
        noise = sampling_noise(batch["day"][rows], self.config.encoder.latent_dim)
        sampled = head.sample(model.standardization(found[MASKED][rows]), noise)
        fields = model.decode(model.standardization.restore(sampled).flatten(0, 1))
        members = {
            f"{ENSEMBLE}{name}": field.reshape(*sampled.shape[:2], *field.shape[1:])
            for name, field in fields.items()
        }
        one = torch.zeros_like(found[CLEAN])
        one[rows] = sampled[:, 0]
        return {**found, **members, REAL: model.standardization(found[CLEAN]), SAMPLE: one}

    def head_outputs(self, model: HeadedModel, batch: Batch) -> Outputs:
        """Returns nothing: `predict` samples from the latents that it has."""
        return {}

    def head_measures(self) -> tuple[Measure, ...]:
        """Returns the measures of samples, of the single reconstruction, and of sampled latents."""
        names = self.config.data.variables
        return (EnsembleScores(names), PointScore(names), SampleRealism())

    def baselines(self, data: FieldData) -> Mapping[str, nn.Module]:
        """Adds days of the training split at the same time of the year."""
        return {**super().baselines(data), "calendar_ensemble": CalendarEnsemble(data)}

    def draw(self, model: nn.Module, data: FieldData, folder: Path) -> None:
        """Draws samples and their spread too."""
        super().draw(model, data, folder)
        from trainables.geo_contrastive.diffusion.samples import (
            draw_samples,  # matplotlib, which training does not need
        )

        draw_samples(
            lambda batch: self.predict(model, batch),
            data,
            lambda indices: self.evaluation_batch(data, "val", indices),
            folder,
        )

    def protocol(self) -> Mapping[str, Any]:
        """Adds members, steps and days of samples."""
        samples = {
            "members": NUM_MEMBERS,
            "steps": NUM_SAMPLING_STEPS,
            "seed": SAMPLING_SEED,
            "max_days": subset.MAX_DAYS,
            "neighbours": NUM_NEIGHBOURS,
            "calendar_days": MAX_DISTANCE,
        }
        return {**super().protocol(), "samples": samples}


class VelocityError(Loss):
    """The mean squared error of the velocity of latents, a mean over days.

    Args:
        latents: Latents of the training days.
    """

    name = "velocity_error"

    def __init__(self, latents: TrainingLatents) -> None:
        self._latents = latents

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the error over days."""
        assert isinstance(model, HeadedModel)
        whole, masked = self._latents.of(batch["position"]), standardized_latents(model, batch, "masked")
        errors = model.head(whole, masked, batch["diffusion_noise"], batch["diffusion_step"])
        return {self.name: errors.sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the days."""
        return {self.name: float(len(batch["position"]))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {self.name: 1.0}


def sampling_noise(days: Int64[Tensor, " row"], dim: int) -> Float32[Tensor, "row member dim"]:
    """Returns the noise that the samples of days start from, the same in every evaluation."""
    keys = branch(days.cpu().numpy().astype(np.uint64), np.uint64(SAMPLING_SEED))
    of_members = branch(keys[:, None], np.arange(NUM_MEMBERS, dtype=np.uint64))
    return torch.from_numpy(normal(of_members, dim).astype(np.float32)).to(days.device)
