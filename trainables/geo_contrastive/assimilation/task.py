"""The task of data assimilation: whole fields from the noisy values of a few cells."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Indices, Keys, Measure, Outputs, SplitName
from thalweg.stage_contract import Loss, Progress, StageLoss
from trainables.geo_contrastive.assimilation.analyser import Analyser, analysed
from trainables.geo_contrastive.assimilation.baselines import KnownAnalysis, YesterdaysAnalysis
from trainables.geo_contrastive.assimilation.knobs import AssimilationKnobs
from trainables.geo_contrastive.assimilation.measure import ANALYSIS, Assimilation
from trainables.geo_contrastive.assimilation.observations import (
    OBSERVATION_NOISE,
    OBSERVATION_SEED,
    OBSERVED_SHARE,
    observe_by_protocol,
)
from trainables.geo_contrastive.assimilation.observed_latents import ObservedLatents, draw_observations
from trainables.geo_contrastive.assimilation.optimal import optimal_analysis
from trainables.geo_contrastive.baselines.simple import Together
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.sampling import cells
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.task import DownstreamTask
from trainables.geo_contrastive.evaluation import subset
from trainables.geo_contrastive.model.field_error import field_errors

_TRUTH = "assimilation/target/"
_SEEN = {"observed": "observed", "is_observed": "is_observed", "background": "climatology"}


class AssimilationTask(DownstreamTask):
    """Trains a network from latents of observations to that of a whole field, by the error of what it decodes to."""

    @property
    def _assimilation(self) -> AssimilationKnobs:
        assert isinstance(self.head_knobs, AssimilationKnobs)
        return self.head_knobs

    def make_head(self, model: HeadedModel) -> nn.Module:
        """Returns the network."""
        return Analyser(self._assimilation, self.config.encoder.latent_dim)

    def training_latents(self) -> TrainingLatents:
        """Returns latents, and the regression on those of observations."""
        return ObservedLatents(self.config.data.variables, self._assimilation)

    def head_loss(self, latents: TrainingLatents) -> StageLoss:
        """Returns the error of analyses; latents of whole fields standardise and are regressed on observations."""
        return AnalysisError()

    def head_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Observes days, and returns climatology and truth."""
        positions = data.days["train"].start + indices
        truth = {
            f"{_TRUTH}{name}": torch.from_numpy(fields[positions])[:, None]
            for name, fields in data.fields.items()
        }
        return {
            **cells(data, len(indices)),
            **draw_observations(data, positions, keys, self._assimilation),
            **truth,
        }

    def evaluation_batch(self, data: FieldData, split: SplitName, indices: Indices) -> Batch:
        """Adds observations, which days are scored, and their optimal interpolation; 0 for the other days."""
        batch = super().evaluation_batch(data, split, indices)
        positions = data.days[split].start + np.asarray(indices)
        scored = subset.scored_days(indices, data.num_samples(split))
        chosen = scored.numpy()
        for name, analysis in optimal_analysis(data, positions[chosen]).items():
            batch[f"optimal/{name}"] = torch.zeros(len(indices), *analysis.shape[1:])
            batch[f"optimal/{name}"][scored] = analysis
        return {**batch, **observe_by_protocol(data, positions), subset.SCORED: scored}

    def head_outputs(self, model: HeadedModel, batch: Batch) -> Outputs:
        """Analyses the days that are scored."""
        rows = subset.rows_scored(batch)
        some = {
            f"{what}/{name}": batch[f"{source}/{name}"][rows]
            for what, source in _SEEN.items()
            for name in model.geometry.variables
        }
        return {f"{ANALYSIS}{name}": field for name, field in analysed(model, some).items()}

    def head_measures(self) -> tuple[Measure, ...]:
        """Returns the measure of analyses."""
        return (Assimilation(self.config.data.variables),)

    def baselines(self, data: FieldData) -> Mapping[str, nn.Module]:
        """Adds optimal interpolation of the same observations, and that of the day before."""
        found, names = super().baselines(data), self.config.data.variables
        return {
            **found,
            "climatology": Together(found["climatology"], KnownAnalysis(names, "climatology")),
            "optimal_interpolation": KnownAnalysis(names, "optimal"),
            "yesterdays_analysis": YesterdaysAnalysis(data),
        }

    def protocol(self) -> Mapping[str, Any]:
        """Adds observations and the days that are scored."""
        observations = {
            "share": OBSERVED_SHARE,
            "noise": OBSERVATION_NOISE,
            "seed": OBSERVATION_SEED,
            "max_days": subset.MAX_DAYS,
        }
        return {**super().protocol(), "observations": observations}


class AnalysisError(Loss):
    """The mean squared error of analyses by area, a mean over days and variables."""

    name = "analysis"

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the error over days."""
        assert isinstance(model, HeadedModel)
        names = model.geometry.variables
        found = {name: field[:, None] for name, field in analysed(model, batch).items()}
        truth = {f"target/{name}": batch[f"{_TRUTH}{name}"] for name in names}
        return {self.name: field_errors(found, {**batch, **truth}, names).sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the days."""
        return {self.name: float(len(next(iter(batch.values()))))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {self.name: 1.0}
