"""Ridge regression of masked values on the visible ones around them: a baseline that a deep model should outdo.

One regression per modality, shared by all places. Its features are the training climatology of the place and of its
neighbours, the six nearest patches that are visible on the same day, and the same place on the nearest days before
and after. It is fitted to windows of the training split with the masks of the evaluation, once per study.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from thalweg.contract import Indices
from thalweg.nn.masking import take_patches
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.knobs import Place
from trainables.water_mae.model.batch import Batch, Predictions
from trainables.water_mae.model.interpolation import (
    NUM_NEIGHBOURS,
    Ends,
    before_and_after,
    patch_means,
    seen_values,
    surroundings,
)

FIT_DAYS = 384
"""Days of the training split, in windows spread over it evenly, that the regression is fitted to."""
PENALTY = 1e-3
"""Weight of the squared coefficients relative to the mean squared error; the intercept is not penalised."""
DAYS_APART = ((0, 1), (2, 3), (4, 366))
"""Ranges of the distance in days; a day before or after has one coefficient per range."""

_FREE = 1e-9
_BATCH = 8

Moments = tuple[Float64[Tensor, "feature feature"], Float64[Tensor, " feature"], int]


class NeighbourRidge(nn.Module):
    """Predicts masked values; does not forecast.

    Args:
        data: Provides positions and the climatology of the training split.
    """

    def __init__(self, data: WaterData) -> None:
        super().__init__()
        self.surroundings = surroundings(data.geometry)
        self.places = data.modalities.places
        for kind, means in zip(("image", "vector"), data.climatology(), strict=True):
            self.register_buffer(f"{kind}_climatology", torch.tensor(means), persistent=False)
        num_features = 4 + NUM_NEIGHBOURS + 2 * len(DAYS_APART)
        self.register_buffer("weights", torch.zeros(len(self.places), num_features), persistent=False)

    def forward(self, batch: Batch) -> Predictions:
        """Predicts the masked patches; takes the same batch as the model."""
        weights = self.get_buffer("weights")
        places = enumerate(self.places.items())
        return {name: self.features(batch, place) @ weights[number] for number, (name, place) in places}

    def features(self, batch: Batch, modality: Place) -> Float[Tensor, "batch step masked value feature"]:
        """Returns the features of a modality: 1, climatology, interpolation, neighbours, days before and after.

        Neighbours and days are anomalies from their climatology, 0 for missing values.
        """
        kind, index = modality
        values, seen = seen_values(batch, modality)
        masked = batch[f"{kind}_masked"][:, index]
        usual = self.get_buffer(f"{kind}_climatology")[:, index][batch["day_of_year"]]
        around = self.surroundings[kind].around(seen, masked)  # type: ignore[operator]
        means, usual_means = patch_means(values, seen), patch_means(usual, seen)
        smooth, usual_smooth = around.interpolate(means), around.interpolate(usual_means)
        near = around.take(means - usual_means)[..., None, :].expand(*smooth.shape, -1)
        near = nn.functional.pad(near, (0, NUM_NEIGHBOURS - near.shape[-1]))
        own = [
            take_patches(part, masked)
            for ends in before_and_after(torch.where(seen, values - usual, 0.0), seen)
            for part in _by_distance(ends)
        ]
        single = [torch.ones_like(smooth), take_patches(usual, masked), smooth, usual_smooth, *own]
        return torch.cat([torch.stack(single, dim=-1), near], dim=-1)


def _by_distance(ends: Ends) -> Iterator[Float[Tensor, "batch step patch value"]]:
    for least, most in DAYS_APART:
        yield torch.where((ends.days >= least) & (ends.days <= most), ends.values, 0.0)


def fit(data: WaterData, sample: Callable[[WaterData, Indices], Batch]) -> NeighbourRidge:
    """Fits the regressions to the training split.

    Args:
        data: The data.
        sample: Returns windows of ``train`` with the masks of the evaluation and masks of observed values.
    """
    ridge = NeighbourRidge(data)
    # sampled on the CPU, where the weights are, also if the days are on a GPU
    part = replace(data, resident=None).with_training_windows(max(_BATCH, FIT_DAYS // data.sequence_length))
    count = part.num_samples("train")
    moments = [_no_moments(ridge.get_buffer("weights").shape[1]) for _ in ridge.places]
    for first in range(0, count, _BATCH):
        batch = sample(part, np.arange(first, min(first + _BATCH, count)))
        for number, place in enumerate(ridge.places.values()):
            moments[number] = _add(moments[number], *rows(ridge, batch, place))
    ridge.get_buffer("weights").copy_(torch.stack([solve(*each) for each in moments]))
    return ridge


def rows(
    ridge: NeighbourRidge, batch: Batch, modality: Place
) -> tuple[Float64[Tensor, "row feature"], Float64[Tensor, " row"]]:
    """Returns the features and targets of those masked values of a modality that are data."""
    target, counts = protocol.observed_values(batch, modality)
    counts = counts & (protocol.present(batch, modality) > 0)[:, None, None, None]
    return ridge.features(batch, modality)[counts].double(), target[counts].double()


def _no_moments(num_features: int) -> Moments:
    square = torch.zeros(num_features, num_features, dtype=torch.float64)
    return square, square[0].clone(), 0


def _add(moments: Moments, features: Tensor, target: Tensor) -> Moments:
    square, product, count = moments
    return square + features.T @ features, product + features.T @ target, count + len(target)


def solve(
    square: Float64[Tensor, "feature feature"], product: Float64[Tensor, " feature"], count: int
) -> Float[Tensor, " feature"]:
    """Solves the normal equations; all coefficients are 0 without data."""
    penalty = torch.full((len(product),), PENALTY * max(count, 1), dtype=torch.float64)
    penalty[0] = _FREE * max(count, 1)
    weights: Tensor = torch.linalg.solve(square + penalty.diag(), product).float()
    return weights
