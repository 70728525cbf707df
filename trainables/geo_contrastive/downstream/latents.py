"""The latents of all training days, encoded once for the stage of a head."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from thalweg.stage_contract import FrozenFeatures
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel

LATENT = "latent"
"""Name of the latents among the rows."""


class TrainingLatents(FrozenFeatures):
    """Encodes the whole fields of the training days, fits the head's standardisation to them, and looks them up.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = tuple(variables)
        self._standardized: Tensor | None = None

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Samples whole fields of training days."""
        positions = data.days["train"].start + indices
        return {name: torch.from_numpy(data.fields[name][positions]) for name in self._variables}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Encodes the fields."""
        assert isinstance(model, HeadedModel)
        return {LATENT: model.encode(batch)}

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Keeps the latents, standardised."""
        assert isinstance(model, HeadedModel)
        model.standardization.fit(rows[LATENT])
        self._standardized = model.standardization(rows[LATENT])

    def of(self, positions: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Returns the standardised latents of days at these positions in the split ``train``."""
        assert self._standardized is not None, (
            "the platform computes the features of a stage before its first step"
        )
        return self._standardized[positions]
