"""Latents of the training days for forecasts, and the regression of how they change, which a network may add to."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.regression import RegressedLatents

_DAY = "day"

Latents = Float[Tensor, "day dim"]
Pairs = tuple[Float[Tensor, "pair dim"], Float[Tensor, "pair dim"]]


class SteppingLatents(RegressedLatents):
    """Encodes the training days, and regresses the change within a step on the latent.

    Args:
        variables: Names of the variables.
        stride: Days of a step.
    """

    def __init__(self, variables: Sequence[str], stride: int) -> None:
        super().__init__(variables)
        self._stride = stride

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Adds the days."""
        days = torch.from_numpy(data.day[data.days["train"].start + indices])
        return {**super().batch(data, indices), _DAY: days}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Adds the days."""
        return {**super().compute(model, batch), _DAY: batch[_DAY]}

    def pairs(self, model: HeadedModel, rows: Mapping[str, Tensor]) -> Pairs:
        """Returns the latents of all days that have one a step later, and how they change."""
        day = rows[_DAY]
        latents = self.of(torch.arange(len(day), device=day.device))
        return changes(latents, day, self._stride)


def changes(latents: Latents, day: Int64[Tensor, " day"], stride: int) -> Pairs:
    """Returns the latents of all days that have one so many days later, and how they change until then.

    Args:
        latents: Latents of days in the order of time.
        day: The days.
        stride: Number of days.
    """
    later = torch.searchsorted(day, day + stride)
    exists = later < len(day)
    exists[exists.clone()] = day[later[exists]] == day[exists] + stride
    return latents[exists], latents[later[exists]] - latents[exists]
