"""Predictors without training, in the model's place: they take its batch and see what it sees."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from thalweg.nn.masking import take_patches
from trainables.water_mae.config import MODALITIES
from trainables.water_mae.data import WaterData
from trainables.water_mae.forecast import LEAD_DAYS, RIVER_FLOW, Forecast, last_flow
from trainables.water_mae.model import Batch, Predictions, kind_and_index, seen


class Climatology(nn.Module):
    """Predicts the training period's mean of the day of the year at the same place.

    Args:
        images: Means of the image modalities, in normalised units.
        vectors: Means of the vector modalities, in normalised units.
    """

    def __init__(
        self,
        images: Float[Tensor, "day 3 patch pixel"],
        vectors: Float[Tensor, "day 2 vector_patch member"],
    ) -> None:
        super().__init__()
        self.register_buffer("image_means", images, persistent=False)
        self.register_buffer("vector_means", vectors, persistent=False)
        self.image_means: Tensor
        self.vector_means: Tensor

    def forward(self, batch: Batch) -> Predictions:
        """Looks up the masked patches of each day; takes the same batch as the model."""
        means = {"image": self.image_means, "vector": self.vector_means}
        day = batch["day_of_year"][..., None]  # (batch, step, 1)
        predictions = {}
        for name in MODALITIES:
            kind, index = kind_and_index(name)
            predictions[name] = means[kind][:, index][day, batch[f"{kind}_masked"][:, index]]
        return predictions

    def forecast(self, batch: Batch) -> Forecast:
        """Returns the means of the days to come; takes the same batch as the model."""
        last = batch["day_of_year"][:, -1:]
        days = (last + torch.tensor(LEAD_DAYS, device=last.device)) % len(self.vector_means)
        return self.vector_means[:, RIVER_FLOW][days]


class Persistence(nn.Module):
    """Predicts what the same patch showed when it was last visible, else when it is next; else the mean, 0."""

    def forward(self, batch: Batch) -> Predictions:
        """Looks for the nearest visible day of each masked patch; takes the same batch as the model."""
        predictions = {}
        for name in MODALITIES:
            kind, index = kind_and_index(name)
            values, masked = batch[f"{kind}s"][:, index].float(), batch[f"{kind}_masked"][:, index]
            visible = _visible(batch, name)
            shown = values * visible[..., None]
            day = _day_to_repeat(visible)[..., None].expand(values.shape)
            predictions[name] = take_patches(shown.gather(1, day), masked)
        return predictions

    def forecast(self, batch: Batch) -> Forecast:
        """Repeats the last day with data; takes the same batch as the model."""
        last = last_flow(batch)
        return last.expand(-1, len(LEAD_DAYS), -1, -1)


class NearestPatch(nn.Module):
    """Predicts the mean over the nearest patch that is visible on the same day; where none is, the mean, 0.

    Args:
        image_distances: Distance of the land patches from each other.
        vector_distances: Distance of the vector patches from each other.
    """

    def __init__(
        self,
        image_distances: Float[Tensor, "patch patch"],
        vector_distances: Float[Tensor, "vector_patch vector_patch"],
    ) -> None:
        super().__init__()
        for kind, distances in (("image", image_distances), ("vector", vector_distances)):
            order = distances.argsort(dim=1, stable=True)
            self.register_buffer(f"{kind}_order", order, persistent=False)

    def forward(self, batch: Batch) -> Predictions:
        """Looks around each masked patch; takes the same batch as the model."""
        predictions = {}
        for name in MODALITIES:
            kind, index = kind_and_index(name)
            values, masked = batch[f"{kind}s"][:, index].float(), batch[f"{kind}_masked"][:, index]
            visible = _visible(batch, name)
            nearest = self._nearest(kind, visible, masked)
            means = _patch_means(values, batch[f"{kind}_valid"]) * visible
            predictions[name] = means.gather(2, nearest)[..., None].expand(*masked.shape, values.shape[-1])
        return predictions

    def _nearest(
        self, kind: str, visible: Bool[Tensor, "batch step patch"], masked: Int[Tensor, "batch step masked"]
    ) -> Int[Tensor, "batch step masked"]:
        neighbours = self.get_buffer(f"{kind}_order")[masked]  # (batch, step, masked, patch)
        there = visible[:, :, None].expand(neighbours.shape).gather(3, neighbours)
        first = there.int().argmax(dim=3, keepdim=True)
        return neighbours.gather(3, first)[..., 0]


def all_baselines(data: WaterData) -> dict[str, nn.Module]:
    """Returns the baselines of a data set by name."""
    images, vectors = (torch.tensor(means) for means in data.climatology())
    return {
        "climatology": Climatology(images, vectors),
        "persistence": Persistence(),
        "nearest": NearestPatch(_distances(data.geometry.patch_rows_cols), _distances(data.vector_positions)),
    }


def _distances(positions: np.ndarray) -> Float[Tensor, "place place"]:
    places = torch.tensor(positions, dtype=torch.float64)
    distances: Tensor = torch.linalg.vector_norm(places[:, None] - places, dim=2)
    return distances


def _visible(batch: Batch, modality: str) -> Bool[Tensor, "batch step patch"]:
    """Returns which patches are shown and hold data."""
    kind, index = kind_and_index(modality)
    keep = batch[f"{kind}_keep"][:, index]
    size = (*keep.shape[:2], batch[f"{kind}s"].shape[3])
    visible = torch.zeros(size, dtype=torch.bool, device=keep.device).scatter(2, keep, True)
    observed = seen(batch, modality)
    return visible if observed is None else visible & observed


def _day_to_repeat(visible: Bool[Tensor, "batch step patch"]) -> Int[Tensor, "batch step patch"]:
    """Returns the last visible day up to each day, else the next one, else the day itself."""
    num_steps = visible.shape[1]
    today = torch.arange(num_steps, device=visible.device)[:, None].expand(visible.shape)
    last = torch.where(visible, today, -1).cummax(dim=1).values
    following = torch.where(visible, today, num_steps).flip(1).cummin(dim=1).values.flip(1)
    return torch.where(last >= 0, last, torch.where(following < num_steps, following, today))


def _patch_means(
    values: Float[Tensor, "batch step patch value"], valid: Bool[Tensor, "batch patch value"]
) -> Float[Tensor, "batch step patch"]:
    """Averages over land cells or catchments."""
    weight = valid[:, None].to(values.dtype)
    return (values * weight).sum(3) / weight.sum(3).clamp(min=1)
