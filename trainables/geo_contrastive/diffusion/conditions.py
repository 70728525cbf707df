"""Latents of whole training days beside those of their masked fields."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from trainables.geo_contrastive.data.draws import branch, stream
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.masked import masked_days
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.regression import RegressedLatents

_MASKED = "masked_latent"

Latents = Float[Tensor, "day dim"]


class ConditionedLatents(RegressedLatents):
    """Encodes the training days, and regresses their latents on those of masked fields, one for each day.

    Args:
        variables: Names of the variables.
        mask: Share of cells that are hidden.
    """

    def __init__(self, variables: Sequence[str], mask: float) -> None:
        super().__init__(variables)
        self._mask = mask

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Adds masked fields; the day decides which cells are hidden."""
        days = data.day[data.days["train"].start + indices].astype(np.uint64)
        keys = branch(days, stream("conditions of the regression"))
        return {**super().batch(data, indices), **masked_days(data, indices, keys, self._mask)}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Adds latents of masked fields."""
        assert isinstance(model, HeadedModel)
        masked = model.encode({name: batch[f"masked/{name}"] for name in model.geometry.variables})
        return {**super().compute(model, batch), _MASKED: masked}

    def pairs(self, model: HeadedModel, rows: Mapping[str, Tensor]) -> tuple[Latents, Latents]:
        """Returns standardised latents of masked and of whole fields."""
        masked: Tensor = model.standardization(rows[_MASKED])
        return masked, self.of(torch.arange(len(masked), device=masked.device))
