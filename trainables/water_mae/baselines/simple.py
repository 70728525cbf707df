"""Baselines without training; they take the same batch as the model and see only what it sees."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.masking import take_patches
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.forecast.forecast import LEAD_DAYS, Forecast, last_flow
from trainables.water_mae.knobs import ModalitySet
from trainables.water_mae.model.batch import Batch, Predictions
from trainables.water_mae.model.interpolation import (
    Interpolation,
    before_and_after,
    nearest_seen,
    patch_means,
    seen_values,
)
from trainables.water_mae.model.seasonal_cycle import SeasonalCycle, fitted


class Climatology(nn.Module):
    """Predicts the mean of the training period for the day of the year at the same place.

    Args:
        images: Means of the image modalities, in normalised units.
        vectors: Means of the vector modalities, in normalised units.
        modalities: The modalities.
        ahead: Index among the series of the one that is forecast; None if none is.
    """

    def __init__(
        self,
        images: Float[Tensor, "day field patch pixel"],
        vectors: Float[Tensor, "day series vector_patch member"],
        modalities: ModalitySet,
        ahead: int | None = None,
    ) -> None:
        super().__init__()
        self.places, self.ahead = modalities.places, ahead
        self.register_buffer("image_means", images, persistent=False)
        self.register_buffer("vector_means", vectors, persistent=False)
        self.image_means: Tensor
        self.vector_means: Tensor

    def forward(self, batch: Batch) -> Predictions:
        """Looks up the masked patches of each day; takes the same batch as the model."""
        means = {"image": self.image_means, "vector": self.vector_means}
        day = batch["day_of_year"][..., None]  # (batch, step, 1)
        predictions = {}
        for name, (kind, index) in self.places.items():
            predictions[name] = means[kind][:, index][day, batch[f"{kind}_masked"][:, index]]
        return predictions

    def forecast(self, batch: Batch) -> Forecast:
        """Returns the means of the days to come; takes the same batch as the model."""
        last = batch["day_of_year"][:, -1:]
        days = (last + torch.tensor(LEAD_DAYS, device=last.device)) % len(self.vector_means)
        return self.vector_means[:, self.ahead][days]


class Persistence(nn.Module):
    """Predicts the last visible value of the same place; if there is none, the next one, else the mean, 0.

    Args:
        modalities: The modalities.
        ahead: Index among the series of the one that is forecast; None if none is.
    """

    def __init__(self, modalities: ModalitySet, ahead: int | None = None) -> None:
        super().__init__()
        self.places, self.ahead = modalities.places, ahead

    def forward(self, batch: Batch) -> Predictions:
        """Finds the nearest visible day of each masked patch; takes the same batch as the model."""
        predictions = {}
        for name, place in self.places.items():
            kind, index = place
            before, after = before_and_after(*seen_values(batch, place))
            repeated = torch.where(before.days < 0, after.values, before.values)
            predictions[name] = take_patches(repeated, batch[f"{kind}_masked"][:, index])
        return predictions

    def forecast(self, batch: Batch) -> Forecast:
        """Repeats the last day with data; takes the same batch as the model."""
        assert self.ahead is not None
        last = last_flow(batch, self.ahead)
        return last.expand(-1, len(LEAD_DAYS), -1, -1)


class NearestPatch(nn.Module):
    """Predicts the mean over the nearest patch that is visible on the same day; if there is none, the mean, 0.

    Args:
        data: Provides the positions of cells and catchments.
    """

    def __init__(self, data: WaterData) -> None:
        super().__init__()
        self.places = data.modalities.places
        for kind, positions in (
            ("image", data.geometry.patch_rows_cols),
            ("vector", data.vector_positions),
        ):
            order = _distances(positions).argsort(dim=1, stable=True)
            self.register_buffer(f"{kind}_order", order, persistent=False)
            self.register_buffer(f"{kind}_rank", order.argsort(dim=1), persistent=False)

    def forward(self, batch: Batch) -> Predictions:
        """Finds the nearest patch of each masked one; takes the same batch as the model."""
        predictions = {}
        for name, place in self.places.items():
            kind, index = place
            values, seen = seen_values(batch, place)
            masked = batch[f"{kind}_masked"][:, index]
            rank, order = self.get_buffer(f"{kind}_rank"), self.get_buffer(f"{kind}_order")
            near, known = nearest_seen(rank, order, seen, masked, 1)
            found = torch.where(known, patch_means(values, seen).gather(2, near[..., 0])[..., None], 0.0)
            predictions[name] = found.expand(*masked.shape, values.shape[-1])
        return predictions


def all_baselines(data: WaterData, ahead: int | None = None) -> dict[str, nn.Module]:
    """Returns the baselines of a data set by name.

    Args:
        data: The data set.
        ahead: Index among the series of the one that is forecast; None if none is.
    """
    images, vectors = (torch.tensor(means) for means in data.climatology())
    return {
        "climatology": Climatology(images, vectors, data.modalities, ahead),
        "persistence": Persistence(data.modalities, ahead),
        "nearest": NearestPatch(data),
        "interpolation": Interpolation(data.geometry, data.modalities),
        "anomaly_interpolation": Interpolation(data.geometry, data.modalities, SeasonalCycle(fitted(data))),
    }


def _distances(positions: np.ndarray) -> Float[Tensor, "place place"]:
    places = torch.tensor(positions, dtype=torch.float64)
    distances: Tensor = torch.linalg.vector_norm(places[:, None] - places, dim=2)
    return distances
