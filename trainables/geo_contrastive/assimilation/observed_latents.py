"""Latents of whole training days beside those of their observations and of the climatology."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from trainables.geo_contrastive.assimilation.knobs import AssimilationKnobs
from trainables.geo_contrastive.assimilation.observations import background, observe
from trainables.geo_contrastive.data.draws import Hashes, branch, stream, uniform
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.regression import RegressedLatents

_PARTS = {"observed": "observed_latent", "background": "background_latent"}

Latents = Float[Tensor, "day dim"]


def draw_observations(
    data: FieldData, positions: np.ndarray, keys: Hashes, knobs: AssimilationKnobs
) -> Batch:
    """Observes days as in training: a share of the cells that is drawn for each day, and the climatology."""
    drawn = uniform(branch(keys, stream("observed share")))
    shares = knobs.observed_low + (knobs.observed_high - knobs.observed_low) * drawn
    return {**observe(data, positions, keys, shares), **background(data, positions)}


class ObservedLatents(RegressedLatents):
    """Encodes the training days, and regresses their latents on those of observations, as changes from the climatology.

    Args:
        variables: Names of the variables.
        knobs: Which share of the cells is observed.
    """

    def __init__(self, variables: Sequence[str], knobs: AssimilationKnobs) -> None:
        super().__init__(variables)
        self._knobs = knobs

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Adds observations, which the day decides, and the climatology."""
        positions = data.days["train"].start + indices
        keys = branch(data.day[positions].astype(np.uint64), stream("observations of the regression"))
        return {**super().batch(data, indices), **draw_observations(data, positions, keys, self._knobs)}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Adds their latents."""
        assert isinstance(model, HeadedModel)
        found = {
            row: model.encode({name: batch[f"{what}/{name}"] for name in model.geometry.variables})
            for what, row in _PARTS.items()
        }
        return {**super().compute(model, batch), **found}

    def pairs(self, model: HeadedModel, rows: Mapping[str, Tensor]) -> tuple[Latents, Latents]:
        """Returns how standardised latents of observations, and of whole fields, differ from the climatology's."""
        observed, usual = (model.standardization(rows[row]) for row in _PARTS.values())
        whole = self.of(torch.arange(len(usual), device=usual.device))
        return observed - usual, whole - usual
