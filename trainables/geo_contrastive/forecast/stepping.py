"""The linear part of a forecast: how latents change on average, given the latent, fitted to the training days."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.networks import Forecaster
from trainables.geo_contrastive.forecast.regression import MIN_DAYS, fit_ridge

_DAY = "day"


class SteppingLatents(TrainingLatents):
    """Encodes the training days, and fits the linear part of the head if it has one.

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

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Fits the linear part, unless the trial goes on."""
        assert isinstance(model, HeadedModel)
        begins = not bool(model.standardization.fitted)
        super().keep(model, rows)
        assert isinstance(model.head, Forecaster)
        if begins and model.head.regression is not None:
            latents = self.of(torch.arange(len(rows[_DAY]), device=rows[_DAY].device))
            model.head.regression.copy_(regression(latents, rows[_DAY], self._stride))


def regression(
    latents: Float[Tensor, "day dim"], day: Int64[Tensor, " day"], stride: int
) -> Float[Tensor, "dim dim"]:
    """Returns what a latent is multiplied with to get its change within a stride; 0 if there are too few such pairs.

    Args:
        latents: Standardised latents of days in the order of time.
        day: The days.
        stride: Days of a step.
    """
    first = torch.searchsorted(day, day + stride)
    exists = first < len(day)
    exists[exists.clone()] = day[first[exists]] == day[exists] + stride
    before = latents[exists].double()
    if len(before) < MIN_DAYS:
        return latents.new_zeros(latents.shape[1], latents.shape[1])
    return fit_ridge(before, latents[first[exists]].double() - before).to(latents.dtype)
