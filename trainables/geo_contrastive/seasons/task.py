"""The task of classifying the season of a day from the latent of its fields."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Indices, Keys, Measure, Outputs
from thalweg.nn.measures.classification import Classification, described
from thalweg.stage_contract import Loss, Progress, StageLoss
from trainables.geo_contrastive.data.calendars import SEASONS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.record import check_seasons
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.task import DownstreamTask
from trainables.geo_contrastive.seasons.baselines import LOGITS, Majority, fit_regression
from trainables.geo_contrastive.seasons.classifier import SeasonClassifier
from trainables.geo_contrastive.seasons.knobs import SeasonKnobs
from trainables.geo_contrastive.seasons.season_regression import SeasonLatents

_PREFIX = "season_"
_METRICS = {f"{_PREFIX}{name}" for name in ("cross_entropy", "accuracy", "macro_f1")}

MEASURE = Classification(
    SEASONS,
    scores=LOGITS,
    labels="season",
    prefix=_PREFIX,
    units=("year", "season"),
    metrics=[metric for metric in described(SEASONS, _PREFIX) if metric.name in _METRICS],
)
"""Measure of the classifier, which sees whole fields."""


class SeasonTask(DownstreamTask):
    """Trains a classifier of seasons on latents of whole fields."""

    def check(self, data: FieldData) -> None:
        """Refuses a training split of a single season too."""
        super().check(data)
        check_seasons(data, "downstream.kind seasons")

    def make_head(self, model: HeadedModel) -> nn.Module:
        """Returns the classifier."""
        assert isinstance(self.head_knobs, SeasonKnobs)
        return SeasonClassifier(self.head_knobs, self.config.encoder.latent_dim)

    def training_latents(self) -> TrainingLatents:
        """Returns latents, and the linear part."""
        return SeasonLatents(self.config.data.variables)

    def head_loss(self, latents: TrainingLatents) -> StageLoss:
        """Returns the cross-entropy."""
        return SeasonCrossEntropy(latents)

    def head_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Returns the positions of days in the split, and their seasons."""
        positions = data.days["train"].start + indices
        return {"position": torch.from_numpy(indices), "season": torch.from_numpy(data.season[positions])}

    def head_outputs(self, model: HeadedModel, batch: Batch) -> Outputs:
        """Classifies whole days."""
        latents = model.encode({name: batch[f"clean/{name}"] for name in model.geometry.variables})
        return {LOGITS: model.head(model.standardization(latents))}

    def head_measures(self) -> tuple[Measure, ...]:
        """Returns the measure of the classifier."""
        return (MEASURE,)

    def baselines(self, data: FieldData) -> Mapping[str, nn.Module]:
        """Adds the shares of the seasons, and a regression of the fields' leading patterns."""
        train = data.days["train"]
        return {
            **super().baselines(data),
            "majority": Majority(data.season[train.start : train.stop]),
            "pattern_regression": fit_regression(data),
        }

    def protocol(self) -> Mapping[str, Any]:
        """Adds what the classifier sees."""
        return {**super().protocol(), "seasons": {"classes": list(SEASONS), "of": "whole fields"}}


class SeasonCrossEntropy(Loss):
    """The cross-entropy of the classifier, a mean over days.

    Args:
        latents: Latents of the training days.
    """

    name = "season_cross_entropy"

    def __init__(self, latents: TrainingLatents) -> None:
        self._latents = latents

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropy over days."""
        assert isinstance(model, HeadedModel)
        logits = model.head(self._latents.of(batch["position"]))
        return {self.name: nn.functional.cross_entropy(logits, batch["season"], reduction="sum")}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the days."""
        return {self.name: float(len(batch["season"]))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {self.name: 1.0}
