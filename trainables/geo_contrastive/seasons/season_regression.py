"""The linear part of the classifier: a regression of the season on latents, fitted to the training days."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from thalweg.nn.data_statistics import Statistics
from trainables.geo_contrastive.data.calendars import SEASONS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.ridge import MIN_DAYS
from trainables.geo_contrastive.seasons.logistic import best_logistic

MAX_DAYS = 1000
"""Days that the regression is fitted to at most, evenly spread."""

_SEASON = "season"

Latents = Float[Tensor, "batch latent"]


class SeasonRegression(Statistics):
    """Multinomial logistic regression, as buffers that `fit` sets; before that all seasons are as likely.

    Standardised latents count by how far the decoded fields move with them: a penalty then falls on what is small in
    the fields, and less on the leading patterns of the weather.

    Args:
        latent_dim: Width of a latent.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(latent_dim, len(SEASONS)))
        self.register_buffer("constant", torch.zeros(len(SEASONS)))
        self.weights: Tensor
        self.constant: Tensor

    def fit(
        self, latents: Latents, scale: Float[Tensor, " latent"], seasons: Int64[Tensor, " batch"]
    ) -> None:
        """Fits to days in the order of time, unless they are too few.

        Args:
            latents: Standardised latents.
            scale: How far fields move with each number.
            seasons: Seasons of the days.
        """
        if len(latents) < MIN_DAYS:
            return
        chosen = torch.linspace(0, len(latents) - 1, min(len(latents), MAX_DAYS)).round().long()
        on_cpu = (each.cpu() for each in (latents[chosen].double() * scale.double(), seasons[chosen]))
        found = best_logistic(*on_cpu).to(self.weights.device)
        self.weights.copy_(found[:-1] * scale[:, None])
        self.constant.copy_(found[-1])

    def forward(self, latents: Latents) -> Float[Tensor, "batch season"]:
        """Returns logits in fp32, from standardised latents."""
        return latents.float() @ self.weights.float() + self.constant.float()


class SeasonLatents(TrainingLatents):
    """Encodes the training days, and fits the regression of the head, if it has one, unless the trial goes on."""

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Adds the seasons."""
        seasons = torch.from_numpy(data.season[data.days["train"].start + indices])
        return {**super().batch(data, indices), _SEASON: seasons}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Adds the seasons."""
        return {**super().compute(model, batch), _SEASON: batch[_SEASON]}

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Fits the regression."""
        assert isinstance(model, HeadedModel)
        begins = not bool(model.standardization.fitted)
        super().keep(model, rows)
        regression = getattr(model.head, "regression", None)
        if begins and regression is not None:
            latents = self.of(torch.arange(len(rows[_SEASON]), device=rows[_SEASON].device))
            regression.fit(latents, shown(model, latents.shape[1]), rows[_SEASON])


@torch.no_grad()
def shown(model: HeadedModel, dim: int) -> Float[Tensor, " latent"]:
    """Returns how far decoded fields move by a standard deviation of each number, from the mean latent; at most 1."""
    device = model.standardization.mean.device
    moved = torch.cat([torch.zeros(1, dim, device=device), torch.eye(dim, device=device)])
    fields = model.decode(model.standardization.restore(moved)).values()
    found = torch.stack([(field[1:] - field[0]).square().mean((1, 2)) for field in fields]).mean(0).sqrt()
    return found / found.max().clamp(min=torch.finfo(found.dtype).tiny)
