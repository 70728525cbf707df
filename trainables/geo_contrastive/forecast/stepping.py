"""Latents of the training days for forecasts, as amplitudes, and how these go on, which a network may add to."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.networks import Forecaster
from trainables.geo_contrastive.forecast.windows import left_out

_DAY, _DAY_OF_YEAR = "day", "day_of_year"


class SteppingLatents(TrainingLatents):
    """Encodes the training days, and fits what is usual on a day of the year and how amplitudes go on.

    Args:
        variables: Names of the variables.
        stride: Days of a step.

    Attributes:
        cells: ``valid/V`` and ``weight/V`` (1, lon, lat) of each variable: they are those of all days.
    """

    def __init__(self, variables: Sequence[str], stride: int) -> None:
        super().__init__(variables)
        self._stride = stride
        self._amplitudes: Tensor | None = None
        self.cells: Batch = {}

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Adds the days, and takes the cells that have data, and their areas."""
        self.cells = self.cells or sampling.cells(data, 1)
        positions = data.days["train"].start + indices
        numbers = {_DAY: data.day, _DAY_OF_YEAR: data.day_of_year}
        days = {name: torch.from_numpy(values[positions]) for name, values in numbers.items()}
        return {**super().batch(data, indices), **days}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Adds the days."""
        return {**super().compute(model, batch), **{name: batch[name] for name in (_DAY, _DAY_OF_YEAR)}}

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Keeps the amplitudes; fits what gives them and the propagator, unless the trial goes on."""
        assert isinstance(model, HeadedModel)
        begins = not bool(model.standardization.fitted)
        super().keep(model, rows)
        head, day_of_year = model.head, rows[_DAY_OF_YEAR]
        assert isinstance(head, Forecaster)
        latents = super().of(torch.arange(len(day_of_year), device=day_of_year.device))
        if begins:
            head.anomalies.fit(latents, day_of_year)
        self._amplitudes = head.anomalies(latents, day_of_year)
        self.cells = {name: values.to(latents.device) for name, values in self.cells.items()}
        if begins:
            count = len(day_of_year)
            learnt = torch.from_numpy(~left_out(np.arange(count), count, self._stride)).to(day_of_year.device)
            for propagator, known in ((head.propagator, torch.ones_like(learnt)), (head.inside, learnt)):
                days = rows[_DAY][known]
                propagator.fit(self._amplitudes[known], days, head.anomalies, self._stride, LEADS)

    def of(self, positions: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Returns the amplitudes of days at these positions in the split ``train``."""
        assert self._amplitudes is not None, (
            "the platform computes the features of a stage before its first step"
        )
        return self._amplitudes[positions]
