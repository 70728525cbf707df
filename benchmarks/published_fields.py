"""The published way to train on contrastive views of weather fields, in plain PyTorch.

It follows the published experiment wherever that costs time or memory: a data set draws one item at a time, in Python;
each field of 64 x 32 is masked, enlarged to 160 x 80 by bicubic interpolation, cropped to 144 x 72 and smoothed; a soft
negative is chosen from a list of all days that are far enough away, made anew for each item; and the network sees
144 x 72 cells. Where days are missing at the ends of the record, it takes others: every item has all of its roles.
"""

import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, mse_loss, normalize, relu

from trainables.geo_contrastive.knobs import PairKnobs, ViewKnobs

ENLARGED, SEEN = (160, 80), (144, 72)
HARD_DAYS = (10, 40)


class PublishedDays(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Days with their neighbours and negatives.

    Args:
        fields: z-scores (day, variable, longitude, latitude) of the training split, consecutive days.
        views: Augmentations.
        pairs: Neighbours and negatives.
    """

    def __init__(self, fields: np.ndarray, views: ViewKnobs, pairs: PairKnobs) -> None:
        self._fields, self._views, self._pairs = fields, views, pairs

    def __len__(self) -> int:
        """Counts the days."""
        return len(self._fields)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Returns the views (role, variable, 144, 72) of a day, and the days that they show."""
        days = self._days(index)
        return torch.stack([self._view(day) for day in days]), torch.tensor(days)

    def _days(self, index: int) -> list[int]:
        delta = random.randint(1, self._pairs.max_delta)
        day = min(max(index, delta), len(self) - 1 - delta)
        days = [day, day + delta, day - delta]
        if self._pairs.hard_negatives:
            near = [day + sign * random.randint(*HARD_DAYS) for sign in (-1, 1)]
            days.append(random.choice([other for other in near if 0 <= other < len(self)]))
        if self._pairs.soft_negatives:
            gap = self._pairs.soft_gap
            days.append(random.choice([other for other in range(len(self)) if abs(other - day) >= gap]))
        return days

    def _view(self, day: int) -> Tensor:
        field, views = torch.from_numpy(self._fields[day].copy()), self._views
        field *= torch.rand_like(field) >= random.uniform(views.mask_low, views.mask_high)
        if random.random() < views.mode_drop:
            field[random.randrange(len(field))] = 0
        large = interpolate(field[None], ENLARGED, mode="bicubic")
        first, second = (random.randint(0, whole - part) for whole, part in zip(ENLARGED, SEEN, strict=True))
        part = large[:, :, first : first + SEEN[0], second : second + SEEN[1]]
        return avg_pool2d(part, views.smooth, 1, views.smooth // 2)[0]


def batch_of(days: PublishedDays, indices: np.ndarray) -> tuple[Tensor, Tensor]:
    """Returns the views (sample, role, variable, 144, 72) of days, and the days that they show (sample, role)."""
    views, numbers = zip(*(days[int(index)] for index in indices), strict=True)
    return torch.stack(views), torch.stack(numbers)


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, normalised map by map."""

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(out_dim, out_dim)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(out_dim, out_dim)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_dim != out_dim:
            convolution = nn.Conv2d(in_dim, out_dim, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.GroupNorm(out_dim, out_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Transforms maps."""
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(inner + self.shortcut(x))


class PublishedEncoder(nn.Sequential):
    """ResNet18 with a normalisation of each map by itself, from 5 variables to 1000 numbers."""

    def __init__(self, num_variables: int = 5, latent_dim: int = 1000) -> None:
        widths = (64, 64, 128, 256, 512)
        stem = (
            nn.Conv2d(num_variables, 64, 7, 2, 3, bias=False),
            nn.GroupNorm(64, 64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks = []
        for number in range(4):
            blocks.append(BasicBlock(widths[number], widths[number + 1], 1 if number == 0 else 2))
            blocks.append(BasicBlock(widths[number + 1], widths[number + 1], 1))
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, latent_dim))
        super().__init__(*stem, *blocks, *head)

    def take_weights(self, ours: nn.Module) -> None:
        """Copies the weights of another ResNet18, whose layers come in the same order."""
        with torch.no_grad():
            for own, other in zip(self.parameters(), ours.parameters(), strict=True):
                if own.shape != other.shape:
                    raise ValueError(
                        f"layers must agree, got weights of {tuple(own.shape)} and {tuple(other.shape)}"
                    )
                own.copy_(other)


def published_projector(latent_dim: int = 1000, dim: int = 128) -> nn.Sequential:
    """Returns three linear layers, between them a batch norm without running statistics and ReLU."""
    return nn.Sequential(
        nn.Linear(latent_dim, dim, bias=False),
        nn.BatchNorm1d(dim, track_running_stats=False),
        nn.ReLU(),
        nn.Linear(dim, dim, bias=False),
        nn.BatchNorm1d(dim, track_running_stats=False),
        nn.ReLU(),
        nn.Linear(dim, dim),
    )


def published_loss(projections: Tensor, days: Tensor, temperature: float, decay: float) -> Tensor:
    """Returns NT-Xent of all pairs of views of a sample, weighted by their distance in time, and the curvature.

    Args:
        projections: Shape (sample, role, dim); the roles are the day, a later and an earlier one.
        days: The days that they show (sample, role).
        temperature: Divides cosines.
        decay: A pair at a distance weighs ``exp(-decay * distance)``.
    """
    num_samples, num_roles, _ = projections.shape
    directions = normalize(projections, dim=2)
    rows = directions.flatten(0, 1)
    logits = rows @ rows.T / temperature
    logits.fill_diagonal_(-torch.inf)
    losses = logits.logsumexp(1, keepdim=True) - logits
    contrast, weight = torch.zeros(()), 0.0
    for sample in range(num_samples):
        for one in range(num_roles):
            for other in set(range(num_roles)) - {one}:
                gap = abs(int(days[sample, one]) - int(days[sample, other]))
                share = float(np.exp(-decay * gap))
                contrast = contrast + share * losses[sample * num_roles + one, sample * num_roles + other]
                weight += share
    now, later, earlier = directions.unbind(1)
    curvature = later - 2 * now + earlier
    return contrast / weight + mse_loss(curvature, torch.zeros_like(curvature))
