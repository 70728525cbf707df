"""What the downstream tasks share: the representation's stages or its weights, then the stage of a head."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Indices, Keys, Measure, Outputs
from thalweg.stage_contract import ParameterGroup, Stage, StageLoss
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.knobs import HeadKnobs
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HEAD, HeadedModel
from trainables.geo_contrastive.representation.task import RepresentationTask


class DownstreamTask(RepresentationTask):
    """Trains a head on the latents of a frozen encoder, behind the stages that train this encoder.

    With the share 1 there are no such stages: the representation is that of a study in ``starts_from``. Otherwise
    a study in ``starts_from`` gives the weights that the stages begin with. All measures of the representation stay,
    so that a trial tells how it reconstructs and what its latents are good for.

    A kind of downstream task defines the abstract methods, and extends ``evaluation_batch``, ``baselines`` and
    ``protocol``.
    """

    @property
    def head_knobs(self) -> HeadKnobs:
        """The knobs of the downstream task."""
        assert isinstance(self.config.downstream, HeadKnobs)
        return self.config.downstream

    @abstractmethod
    def make_head(self, model: HeadedModel) -> nn.Module:
        """Returns the head for a model that has none yet."""

    @abstractmethod
    def head_loss(self, latents: TrainingLatents) -> StageLoss:
        """Returns the loss of the head's stage, which looks up the latents of whole fields of training days."""

    def head_groups(self) -> tuple[ParameterGroup, ...]:
        """Returns what trains in the head's stage."""
        return (ParameterGroup(prefix=f"{HEAD}.", lr_scale=self.head_knobs.lr_scale),)

    def training_latents(self) -> TrainingLatents:
        """Returns what is computed once of the training days when the head's stage begins."""
        return TrainingLatents(self.config.data.variables)

    @abstractmethod
    def head_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Samples what the loss of the head's stage reads of training days, such as positions in the split.

        Names differ from those of views, unless values are the same.
        """

    @abstractmethod
    def head_outputs(self, model: HeadedModel, batch: Batch) -> Outputs:
        """Predicts what the measures of the downstream task read; names differ from those of reconstructions."""

    @abstractmethod
    def head_measures(self) -> tuple[Measure, ...]:
        """Returns the measures of the downstream task."""

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of the downstream task, then those of the representation."""
        return (*self.head_measures(), *super().measures())

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the representation, then the head."""
        model = HeadedModel.build(self.config, facts)
        assert isinstance(model, HeadedModel)
        model.attach(self.make_head(model), self.config.encoder.latent_dim)
        return model

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages of the representation in what the head leaves of the budget, then that of the head."""
        knobs = self.head_knobs
        latents = self.training_latents()
        head = Stage(
            name=self.config.downstream.kind,
            share=knobs.share,
            groups=self.head_groups(),
            frozen=self._parts,
            loss=self.head_loss(latents),
            features=latents,
            batch=self.head_batch,
        )
        return (head,) if knobs.share == 1 else (*map(self._before_head, super().stages()), head)

    def _before_head(self, stage: Stage) -> Stage:
        """Returns a stage of the representation, with its share of the rest; one that trains all leaves the head."""
        groups = [
            replace(group, prefix=prefix)
            for group in stage.groups
            for prefix in ([group.prefix] if group.prefix else [f"{part}." for part in self._parts])
        ]
        share = stage.share * (1 - self.head_knobs.share)
        taught = tuple(metric.name for measure in super().measures() for metric in measure.metrics)
        return replace(
            stage,
            share=share,
            groups=tuple(groups),
            teaches=taught if stage.teaches is None else stage.teaches,
            batch=super().training_batch,
        )

    @property
    def _parts(self) -> tuple[str, ...]:
        """Parts of the representation."""
        projector = ("projector",) if self.config.objective.is_contrastive else ()
        adversary = ("adversary",) if self.config.decoder.adversary_weight else ()
        return ("encoder", *projector, "decoder", *adversary)

    def check(self, data: FieldData) -> None:
        """Refuses what the representation cannot learn from the data, where the trial trains it."""
        if self.head_knobs.share < 1:
            super().check(data)

    def training_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Samples what the head learns from, beside the views where the trial trains the representation too.

        Each stage samples its own part alone.
        """
        views = super().training_batch(data, indices, keys) if self.head_knobs.share < 1 else {}
        return views | self.head_batch(data, indices, keys)

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Adds what the head predicts; a baseline predicts what it can."""
        found = super().predict(model, batch)
        return {**found, **self.head_outputs(model, batch)} if isinstance(model, HeadedModel) else found

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> GeoContrastive:
        """Takes the representation of the last starting point; a head alone takes the objective's projector with it.

        A decoder understands the latents of the encoder that it was trained with, and no others: all parts come from
        one study, as do the variables that they know.
        """
        found = super().inherit(starting_points)
        *_, last = (theirs for theirs in starting_points.values() if isinstance(theirs, GeoContrastive))
        return found.model_copy(update={"objective": last.objective}) if self.head_knobs.share == 1 else found

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the prefixes of the parts that are taken."""
        if self.head_knobs.share == 1:
            return tuple(f"{part}." for part in self._parts)
        return super().starting_weights()
