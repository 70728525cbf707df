"""The losses of the stages.

Each part is a mean: over pairs of views, over days that have the neighbours of a term, or over views. Errors of
reconstructions are means over cells by area and over variables, so that they do not grow with the number of variables.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.knobs.scheduled import value_at
from thalweg.nn.contrastive.unit_length import unit_length
from thalweg.stage_contract import Joined, JointLoss, Loss, Progress, Rows
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data.pairs import NUM_POSITIVES
from trainables.geo_contrastive.model.field_error import field_errors
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.representation.terms import TERMS

RECONSTRUCTION = "reconstruction"
NEIGHBOURS = "neighbour_reconstruction"
CYCLE = "cycle"
ADVERSARY = "adversary"

Latents = Float[Tensor, "batch role dim"]
Present = Bool[Tensor, "batch role"]


def encoded(model: FieldModel, batch: Batch) -> Latents:
    """Returns the latents of all views; a fusion of latents leaves the variables out that a view drops."""
    views = {name: batch[f"view/{name}"].flatten(0, 1) for name in model.geometry.variables}
    latents = model.encode(views, batch["shown"].flatten(0, 1))
    return latents.view(*batch["present"].shape, -1)


def reconstruction_parts(
    model: FieldModel, latents: Latents, batch: Batch, adversary_weight: float
) -> dict[str, Float[Tensor, "batch ..."]]:
    """Returns the errors (batch, role) of the fields that are decoded from the latents of the first roles.

    With an opponent there are also its cross-entropies (batch,) on the first role, which the decoder ascends.
    """
    names = model.geometry.variables
    found = {
        name: fields.view(*latents.shape[:2], *fields.shape[1:])
        for name, fields in model.decode(latents.flatten(0, 1)).items()
    }
    parts = {RECONSTRUCTION: field_errors(found, batch, names)}
    if adversary_weight:
        parts[ADVERSARY] = model.adversary(
            {name: batch[f"target/{name}"][:, 0] for name in names},
            {name: found[name][:, 0] for name in names},
            {name: batch[f"valid/{name}"] for name in names},
            adversary_weight,
        )
    return parts


def curvatures(vectors: Latents, present: Present) -> Float[Tensor, " batch"]:
    """Returns the mean square of z(t + delta) - 2 z(t) + z(t - delta); 0 for a day without one of both."""
    now, later, earlier = vectors[:, :NUM_POSITIVES].unbind(1)
    return (later - 2 * now + earlier).square().mean(1) * has_neighbours(present)


def has_neighbours(present: Present) -> Bool[Tensor, " batch"]:
    """Returns a mask of the days that have both temporal positives."""
    return present[:, :NUM_POSITIVES].all(1)


def penalties(weights: Mapping[str, float], latents: Latents, present: Present) -> dict[str, Tensor]:
    """Returns the L1 and L2 penalties that have a weight, (batch,): means over a latent, summed over views."""
    sizes = {"latent_l1": torch.abs, "latent_l2": torch.square}
    return {name: (size(latents).mean(2) * present).sum(1) for name, size in sizes.items() if name in weights}


def penalty_weights(config: GeoContrastive) -> dict[str, float]:
    """Returns the weights of the penalties that are on."""
    weights = {name: float(getattr(config.objective, name)) for name in ("latent_l1", "latent_l2")}
    return {name: weight for name, weight in weights.items() if weight}


class Contrastive(JointLoss):
    """Compares the views of days: contrastive terms, the curvature of what follows in time, penalties of latents.

    The curvature of projections is that of their directions, which NT-Xent compares: that of raw projections would
    vanish with their length.

    Args:
        config: Objective and pairs.
    """

    def __init__(self, config: GeoContrastive) -> None:
        self._objective, self._pairs = config.objective, config.pairs
        self._penalties = penalty_weights(config)

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Returns the projections of all views, and the parts that are sums over days, day by day."""
        assert isinstance(model, FieldModel)
        return self._rows(model, encoded(model, batch), batch)

    def _rows(self, model: FieldModel, latents: Latents, batch: Batch) -> Rows:
        present = batch["present"]
        projections = model.project(latents.flatten(0, 1)).view(*present.shape, -1)
        embeddings = {"projection": projections} | penalties(self._penalties, latents, present)
        if self._objective.cycle != "off":
            vectors = unit_length(projections) if self._objective.cycle == "projection" else latents
            embeddings[CYCLE] = curvatures(vectors, present)
        companions = {name: batch[name] for name in ("present", "role_day", "role_season")}
        return Rows(embeddings=embeddings, companions=companions)

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Computes the contrastive terms, and sums the others over days."""
        projections, present = rows.embeddings["projection"], rows.companions["present"]
        sums, counts = {}, {}
        for name in self._objective.terms:
            found = TERMS[name](
                self._objective, self._pairs, projections, rows.companions, progress.stage_ratio
            )
            sums[name], counts[name] = found.total, found.count
        number_of = {CYCLE: has_neighbours(present).sum(), **dict.fromkeys(self._penalties, present.sum())}
        for name, number in number_of.items():
            if name in rows.embeddings:
                sums[name], counts[name] = rows.embeddings[name].sum(), number
        return Joined(sums=sums, counts=counts)

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weights of the terms."""
        done = progress.stage_ratio
        second = value_at(self._objective.second_weight, done)
        weights = dict(zip(self._objective.terms, (1.0, second), strict=False))
        if self._objective.cycle != "off":
            weights[CYCLE] = value_at(self._objective.cycle_weight, done)
        return weights | self._penalties


class ContrastiveReconstruction(Contrastive):
    """Adds reconstructions: alpha weighs all that concerns neighbours in time, 1 - alpha the day itself.

    ``alpha * (contrastive + cycle + reconstruction of neighbours) + (1 - alpha) * reconstruction``; the penalties of
    latents keep their weight.

    Args:
        config: Objective, pairs and alpha.
    """

    def __init__(self, config: GeoContrastive) -> None:
        super().__init__(config)
        self._alpha = config.stages.alpha.schedule
        self._adversary_weight = config.decoder.adversary_weight

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Adds the errors of reconstructions, day by day."""
        assert isinstance(model, FieldModel)
        latents, present = encoded(model, batch), batch["present"][:, :NUM_POSITIVES]
        rows = self._rows(model, latents, batch)
        parts = reconstruction_parts(model, latents[:, :NUM_POSITIVES], batch, self._adversary_weight)
        errors = parts[RECONSTRUCTION]
        parts |= {RECONSTRUCTION: errors[:, 0], NEIGHBOURS: (errors * present)[:, 1:].sum(1)}
        return Rows(embeddings={**rows.embeddings, **parts}, companions=rows.companions)

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Adds the errors, summed over days."""
        joined = super().parts(rows, progress)
        present = rows.companions["present"][:, :NUM_POSITIVES]
        counts: dict[str, Tensor | float] = dict.fromkeys(self._of_the_day, float(len(present)))
        counts[NEIGHBOURS] = present[:, 1:].sum()
        sums = {name: rows.embeddings[name].sum() for name in counts}
        return Joined(sums={**joined.sums, **sums}, counts={**joined.counts, **counts})

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weights at this step."""
        share = self._alpha.at(progress.stage_ratio)
        weights = {
            name: weight * (1.0 if name in self._penalties else share)
            for name, weight in super().weights(progress).items()
        }
        return weights | {NEIGHBOURS: share} | dict.fromkeys(self._of_the_day, 1 - share)

    @property
    def _of_the_day(self) -> tuple[str, ...]:
        return (RECONSTRUCTION, ADVERSARY) if self._adversary_weight else (RECONSTRUCTION,)


class Reconstruction(Loss):
    """The squared error of the day's fields, decoded from its masked view, with penalties of the latents.

    Args:
        penalties: Weights of the penalties of latents.
        adversary_weight: Strength of the decoder's opponent.
    """

    def __init__(self, penalties: Mapping[str, float], adversary_weight: float) -> None:
        self._penalties = dict(penalties)
        self._adversary_weight = adversary_weight

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums errors and penalties over days."""
        assert isinstance(model, FieldModel)
        view = {name: batch[f"view/{name}"][:, 0] for name in model.geometry.variables}
        latents = model.encode(view, batch["shown"][:, 0])[:, None]
        found = penalties(self._penalties, latents, batch["present"][:, :1])
        found |= reconstruction_parts(model, latents, batch, self._adversary_weight)
        return {name: values.sum() for name, values in found.items()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the days."""
        return dict.fromkeys(self.weights(progress), float(len(batch["day"])))

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns 1 for the error and for the opponent's, and the weights of the penalties."""
        opposed = {ADVERSARY: 1.0} if self._adversary_weight else {}
        return {RECONSTRUCTION: 1.0} | opposed | self._penalties
