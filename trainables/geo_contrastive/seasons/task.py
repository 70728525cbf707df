"""The task of classifying the season of a day from the latent of its fields."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from thalweg.contract import Batch, Indices, Keys, Measure, Outputs
from thalweg.nn.measures.classification import Classification, described
from thalweg.stage_contract import Loss, Progress, StageLoss
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.days import latents_of, whole_days
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.task import DownstreamTask
from trainables.geo_contrastive.seasons.baselines import LOGITS, Majority, fit_regression
from trainables.geo_contrastive.seasons.classifier import SEASONS, SeasonClassifier
from trainables.geo_contrastive.seasons.knobs import SeasonKnobs

_PREFIX = "season_"
_METRICS = {f"{_PREFIX}{name}" for name in ("cross_entropy", "accuracy", "macro_f1")}

MEASURE = Classification(
    SEASONS,
    scores=LOGITS,
    labels="season",
    prefix=_PREFIX,
    metrics=[metric for metric in described(SEASONS, _PREFIX) if metric.name in _METRICS],
)
"""Measure of the classifier, which sees whole fields."""


class SeasonTask(DownstreamTask):
    """Trains a classifier of seasons on latents of whole fields."""

    def make_head(self, model: HeadedModel) -> nn.Module:
        """Returns the classifier."""
        assert isinstance(self.head_knobs, SeasonKnobs)
        return SeasonClassifier(self.head_knobs, self.config.encoder.latent_dim)

    def head_loss(self) -> StageLoss:
        """Returns the cross-entropy."""
        return SeasonCrossEntropy()

    def head_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Returns whole days and their seasons."""
        return whole_days(data, indices)

    def head_outputs(self, model: HeadedModel, batch: Batch) -> Outputs:
        """Classifies whole days."""
        return {LOGITS: season_logits(model, batch)}

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
    """The cross-entropy of the classifier, a mean over days."""

    name = "season_cross_entropy"

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropy over days."""
        logits = season_logits(cast(HeadedModel, model), batch)
        return {self.name: nn.functional.cross_entropy(logits, batch["season"], reduction="sum")}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the days."""
        return {self.name: float(len(batch["season"]))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {self.name: 1.0}


def season_logits(model: HeadedModel, batch: Batch) -> Tensor:
    """Returns the logits of whole days, through a frozen encoder."""
    logits: Tensor = model.head(latents_of(model, batch, "clean"))
    return logits
