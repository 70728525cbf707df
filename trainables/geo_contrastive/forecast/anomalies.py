"""Latents as forecasts see them: how far they are from what is usual on their day of the year, in equal shares.

Coordinates of a latent may be much alike: then some sums of them hardly vary, and a regression that is fitted to them
turns their noise into changes of the others. Amplitudes are uncorrelated and vary equally.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.data.normalization import DAYS_OF_YEAR, Climatology

_FLOOR = 1e-6  # of the largest variance, added to all: what hardly varies is not blown up
_HALF_WIDTH = 30  # days on either side that the mean of a day of the year includes

Latents = Float[Tensor, "*batch dim"]
Amplitudes = Float[Tensor, "*batch dim"]
Days = Int64[Tensor, "*batch"]


class LatentAnomalies(nn.Module):
    """The mean of the days around each day of the year, and the axes along which anomalies vary, as buffers.

    `fit` sets them. The mean includes more days than that of fields: a latent has many numbers, each with its noise.

    They stay in double precision, whatever the model is trained in: the rounding of one axis that varies much would be
    more than all of one that varies little. Before the fit, amplitudes are the latents themselves.

    Whitening is by the symmetric root of the covariance, which is unique (Kessy, Lewin & Strimmer 2018,
    doi:10.1080/00031305.2016.1277159).

    Args:
        dim: Width of a latent.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(DAYS_OF_YEAR, dim, dtype=torch.float64))
        self.register_buffer("axes", torch.zeros(dim, dim, dtype=torch.float64).fill_diagonal_(1.0))
        self.register_buffer("spread", torch.ones(dim, dtype=torch.float64))
        self.usual: Tensor
        self.axes: Tensor
        self.spread: Tensor

    def fit(self, latents: Float[Tensor, "day dim"], day_of_year: Int64[Tensor, " day"]) -> None:
        """Takes the statistics of days.

        Args:
            latents: Standardised latents.
            day_of_year: Their days of the year, from 0.
        """
        rows = latents.float().cpu().numpy()
        climatology = Climatology(rows.shape[1:], _HALF_WIDTH)
        climatology.update(rows, day_of_year.cpu().numpy(), np.ones(rows.shape, dtype=bool))
        self.usual.copy_(torch.from_numpy(climatology.smoothed()))
        anomalies = latents.double() - self.usual[day_of_year]
        variances, axes = torch.linalg.eigh(anomalies.T @ anomalies / len(anomalies))
        floor = float(variances.max()) * _FLOOR
        if floor > 0:
            self.axes.copy_(axes)
            self.spread.copy_((variances.clamp(min=0) + floor).sqrt())

    def forward(self, latents: Latents, day_of_year: Days) -> Amplitudes:
        """Returns the amplitudes of standardised latents, in fp32."""
        found: Amplitudes = (latents.double() - self.usual[day_of_year]) @ self._times(1 / self.spread)
        return found.float()

    def restore(self, amplitudes: Amplitudes, day_of_year: Days) -> Latents:
        """Returns the standardised latents of amplitudes, in fp32."""
        return self.differences(amplitudes) + self.usual[day_of_year].float()

    def differences(self, amplitudes: Amplitudes) -> Latents:
        """Returns by what latents of one day differ if their amplitudes differ by so much, in fp32."""
        found: Latents = amplitudes.float() @ self._times(self.spread).float()
        return found

    def _times(self, lengths: Float[Tensor, " dim"]) -> Float[Tensor, "dim dim"]:
        return (self.axes * lengths) @ self.axes.T
