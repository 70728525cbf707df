"""The task of the representation: contrastive or reconstructing pre-training, evaluated by reconstructions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Measure, Outputs, SplitName
from thalweg.nn.contrastive.unit_length import unit_length
from thalweg.serving.quantities import Arrays, Quantity
from thalweg.stage_contract import Stage
from trainables.geo_contrastive.baselines import patterns
from trainables.geo_contrastive.baselines.simple import Climatology, Persistence
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.evaluation import missing
from trainables.geo_contrastive.evaluation.latents import (
    CLEAN,
    MASKED,
    RETRIEVAL,
    LatentGeometry,
    days_lacking,
)
from trainables.geo_contrastive.evaluation.reconstruction import FIELD, Reconstruction
from trainables.geo_contrastive.field_task import FieldTask
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.representation import physical
from trainables.geo_contrastive.representation.stages import stages


class RepresentationTask(FieldTask):
    """Trains an encoder and a decoder, and evaluates fields that are reconstructed from masked ones."""

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> GeoContrastive:
        """Takes variables, encoder and decoder of the last starting point."""
        *_, last = (theirs for theirs in starting_points.values() if isinstance(theirs, GeoContrastive))
        return self.config.model_copy(
            update={"data": last.data, "encoder": last.encoder, "decoder": last.decoder}
        )

    def starting_weights(self) -> tuple[str, ...]:
        """Returns encoder and decoder; a projector belongs to its objective."""
        return ("encoder.", "decoder.")

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Returns the encoder, with `FieldModel.encode`."""
        return {"encoder": _without_decoder}

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the model for the grids in `facts`; at the reference geometry without them."""
        return FieldModel.build(self.config, facts)

    def stages(self) -> tuple[Stage, ...]:
        """Returns contrastive pre-training and what follows, or the only stage of an autoencoder."""
        return stages(self.config)

    def unmeasured(self, data: FieldData, split: SplitName) -> Mapping[str, str]:
        """Returns the metrics of latents for which a split holds no such days."""
        return days_lacking(index_of(data, split).day, split)

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of reconstructions, then those of latents."""
        names, sets = self.config.data.variables, self._missing
        without = (missing.WithoutVariables(names, sets),) if sets else ()
        return (Reconstruction(names), *without, LatentGeometry(), RETRIEVAL)

    @property
    def _missing(self) -> tuple[tuple[str, ...], ...]:
        """Sets of variables without which fields are reconstructed too."""
        return self.config.evaluation.missing(self.config.data.variables)

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Reconstructs fields from their masked view, and returns the latents of masked and whole fields."""
        without = missing.reconstructions(model, batch, self._missing)
        if not isinstance(model, FieldModel):
            outputs: dict[str, Tensor] = model(batch)
            return outputs | without
        names = model.geometry.variables
        masked = model.encode({name: batch[f"view/{name}"][:, 0] for name in names})
        clean = model.encode({name: batch[f"clean/{name}"] for name in names})
        fields = {f"{FIELD}{name}": field for name, field in model.decode(masked).items()}
        latents = {CLEAN: clean, MASKED: masked}
        directions = {f"{name}_direction": unit_length(each) for name, each in latents.items()}
        return fields | without | latents | directions

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns fields, with gaps and reconstructed, and their latents."""
        return physical.quantities(facts, self.config.encoder.latent_dim)

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Reconstructs fields in their units."""
        return physical.predict(model, inputs, facts)

    def baselines(self, data: FieldData) -> Mapping[str, nn.Module]:
        """Returns climatology, persistence, and optimal interpolation in the space of the leading patterns."""
        names = self.config.data.variables
        return {
            "climatology": Climatology(names),
            "persistence": Persistence(names),
            "pattern_interpolation": patterns.fit(data),
        }

    def draw(self, model: nn.Module, data: FieldData, folder: Path) -> None:
        """Draws fields, what the model sees of them, their reconstructions and errors, and the latent space."""
        from trainables.geo_contrastive.exploring.pictures import (
            draw_all,  # matplotlib, which training does not need
        )

        draw_all(
            lambda batch: RepresentationTask.predict(self, model, batch),  # without what a head predicts
            data,
            lambda indices: self.evaluation_batch(data, "val", indices),
            folder,
        )


def _without_decoder(model: nn.Module) -> nn.Module:
    assert isinstance(model, FieldModel)
    for name in [name for name, _ in model.named_children() if name != "encoder"]:
        delattr(model, name)
    return model
