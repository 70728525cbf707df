"""The model for one device: fields to a latent, a latent to a projection and to fields."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.nn.norm import norm
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.knobs import ObjectiveKnobs
from trainables.geo_contrastive.model.adversary import FieldAdversary
from trainables.geo_contrastive.model.decoders import DecodedFields, FieldDecoder
from trainables.geo_contrastive.model.encoders import (
    Fields,
    InterpolatingEncoder,
    Latents,
    encoder,
)
from trainables.geo_contrastive.model.geometry import FieldGeometry

ADVERSARY_WIDTH = 32


class FieldModel(nn.Module):
    """Encodes fields of one day, projects latents for contrastive losses, decodes latents to fields.

    Its children are ``encoder``, ``projector`` if the objective compares projections, ``decoder``, and ``adversary`` if
    the decoder has an opponent. Results are in
    fp32, whatever the type of the weights; fields are z-scores.

    Args:
        config: Architecture; `build` makes the geometry.
        geometry: Variables and grids.

    Raises:
        ConfigError: The encoder does not suit the variables and their grids.
    """

    def __init__(self, config: GeoContrastive, geometry: FieldGeometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.encoder = encoder(config.encoder, geometry)
        if config.objective.is_contrastive:
            self.projector = projector(config.encoder.latent_dim, config.objective)
        self.decoder = FieldDecoder(config.decoder, config.encoder.latent_dim, geometry)
        if config.decoder.adversary_weight:
            self.adversary = FieldAdversary(geometry, ADVERSARY_WIDTH)

    @classmethod
    def build(cls, config: GeoContrastive, facts: Mapping[str, Any] | None) -> Self:
        """Returns the model for a data set.

        Args:
            config: Architecture.
            facts: What `FieldGeometry.of` reads, and ``patterns`` if the encoder interpolates; None builds at the
                reference geometry, without patterns.

        Raises:
            ConfigError: The encoder does not suit the variables and their grids.
        """
        model = cls(config, FieldGeometry.of(facts, config.data.variables))
        if facts and "patterns" in facts and isinstance(model.encoder, InterpolatingEncoder):
            model.encoder.start(facts["patterns"])
            model.decoder.start(facts["patterns"])
        return model

    def encode(self, fields: Fields, present: Bool[Tensor, "batch variable"] | None = None) -> Latents:
        """Returns the latents of fields.

        Args:
            fields: Fields (batch, longitude, latitude) of every variable, those of absent ones too, as z-scores by its
                mean and standard deviation in the facts of an export; hidden cells and those without data are 0.
            present: Which variables each sample has, in the order of the geometry; None if all have all. A late fusion
                leaves absent ones out, an early encoder takes them for zeros.
        """
        known = {name: fields[name] for name in self.geometry.variables}
        if present is None:
            first = next(iter(known.values()))
            present = torch.ones(len(first), len(known), dtype=torch.bool, device=first.device)
        latents: Tensor = self.encoder(known, present)
        return latents.float()

    def project(self, latents: Latents) -> Float[Tensor, "batch projection"]:
        """Returns the projections of latents."""
        projection: Tensor = self.projector(latents.to(self._dtype()))
        return projection.float()

    def decode(self, latents: Latents) -> DecodedFields:
        """Returns the fields (batch, longitude, latitude) of all variables."""
        return {name: field.float() for name, field in self.decoder(latents.to(self._dtype())).items()}

    def forward(self, batch: Batch) -> DecodedFields:
        """Reconstructs the fields of each sample from its first view.

        Args:
            batch: ``view/VARIABLE`` (batch, role, longitude, latitude) of every variable, and ``shown`` (batch, role,
                variable), which of them the view shows; without it all.
        """
        views = {name: batch[f"view/{name}"][:, 0] for name in self.geometry.variables}
        return self.decode(self.encode(views, batch["shown"][:, 0] if "shown" in batch else None))

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def projector(latent_dim: int, knobs: ObjectiveKnobs) -> nn.Sequential:
    """Returns three linear layers with a normalisation and ReLU between them (section 4.2 of arXiv:2002.05709).

    Unlike the published experiment's, batch norms keep running statistics, by which evaluations normalise.
    """
    name, width = knobs.projector_norm, knobs.projection_dim
    bias = name == "none"  # a normalisation would take it away
    return nn.Sequential(
        nn.Linear(latent_dim, width, bias=bias),
        norm(name, width),
        nn.ReLU(),
        nn.Linear(width, width, bias=bias),
        norm(name, width),
        nn.ReLU(),
        nn.Linear(width, width),
    )
