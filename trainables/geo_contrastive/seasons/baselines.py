"""Baselines of the classification of seasons: how often each season occurs, and a regression of leading patterns.

The calendar is no baseline: the season is a function of the date, so that it would be right on every day. A classifier
sees the fields of a day and nothing of its date.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.baselines.sampled_days import every_few_days
from trainables.geo_contrastive.data.calendars import SEASONS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.seasons.logistic import fit_logistic

LOGITS = "season_logits"
"""Name of the logits among the outputs."""
NUM_PATTERNS = 20
"""Principal components that the regression sees."""
MAX_DAYS = 1000
"""Days of the training split that it is fitted to at most, evenly spaced."""
PENALTY = 1e-3
"""Of the mean squared weights, beside the mean cross-entropy."""


class Majority(nn.Module):
    """Predicts how often each season occurs in the training split, whatever the fields.

    Args:
        seasons: Seasons of the training split.
    """

    def __init__(self, seasons: Int64[np.ndarray, " day"]) -> None:
        super().__init__()
        counts = np.bincount(seasons, minlength=len(SEASONS)) + 1.0  # no season is impossible
        self.register_buffer("logits", torch.from_numpy(np.log(counts / counts.sum())), persistent=False)
        self.logits: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the same logits for all days."""
        return {LOGITS: self.logits.expand(len(batch["day"]), -1)}


class PatternRegression(nn.Module):
    """Multinomial logistic regression of the leading principal components of all variables, by area.

    Args:
        centre: Mean of each variable's fields.
        patterns: Patterns of each variable, which fields are multiplied with.
        weights: Of the components; the last row is that of a constant 1.
    """

    def __init__(
        self,
        centre: Mapping[str, Float[Tensor, "_ _"]],
        patterns: Mapping[str, Float[Tensor, "_ _ pattern"]],
        weights: Float[Tensor, "term season"],
    ) -> None:
        super().__init__()
        self._variables = tuple(centre)
        for number, name in enumerate(
            self._variables
        ):  # torch takes no dots, which a variable's name may have
            self.register_buffer(f"centre_{number}", centre[name], persistent=False)
            self.register_buffer(f"patterns_{number}", patterns[name], persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self.weights: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the logits."""
        found = self.weights[-1].expand(len(batch["day"]), -1)
        for number, name in enumerate(self._variables):
            change = batch[f"clean/{name}"].double() - self.get_buffer(f"centre_{number}")
            components = torch.einsum("dxy,xyp->dp", change, self.get_buffer(f"patterns_{number}"))
            found = found + components @ self.weights[:-1]
        return {LOGITS: found}


def fit_regression(data: FieldData) -> PatternRegression:
    """Fits the regression to days of the training split; the components have unit variance there."""
    positions = every_few_days(data, MAX_DAYS, sum(field[0].size for field in data.fields.values()))
    fields, centre, areas = {}, {}, {}
    for name, variable in data.variables.items():
        values = torch.from_numpy(data.fields[name][positions]).double()
        centre[name] = values.mean(0)
        area = torch.from_numpy(data.grids[variable.grid].weights * data.valid[name]).double()
        areas[name] = (area / area.sum()).sqrt()
        fields[name] = ((values - centre[name]) * areas[name]).flatten(1)
    every = torch.cat(list(fields.values()), dim=1)
    components, patterns = _principal(every)
    seasons = torch.from_numpy(data.season[positions])
    weights = fit_logistic(components, seasons, PENALTY / (components.shape[1] * len(SEASONS)))
    widths = [field.shape[1] for field in fields.values()]
    by_variable = dict(zip(fields, torch.split(patterns, widths), strict=True))
    shaped = {
        name: by_variable[name].reshape(*areas[name].shape, -1) * areas[name][..., None] for name in fields
    }
    return PatternRegression(centre, shaped, weights)


def _principal(
    rows: Float64[Tensor, "day cell"],
) -> tuple[Float64[Tensor, "day pattern"], Float64[Tensor, "cell pattern"]]:
    """Returns the leading components, with unit variance, and what rows are multiplied with to get them."""
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    count = min(NUM_PATTERNS, int((values > 1e-9 * values[-1]).sum()))
    values, vectors = values[-count:], vectors[:, -count:]
    scale = len(rows) ** 0.5
    return vectors * scale, rows.T @ vectors * (scale / values)
