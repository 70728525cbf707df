"""Baselines that look a field up: the mean of the calendar day, and the day before."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.evaluation.reconstruction import FIELD


class Climatology(nn.Module):
    """Predicts the training split's mean of the day of the year.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__()
        self._variables = tuple(variables)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Looks the fields up."""
        return {f"{FIELD}{name}": batch[f"climatology/{name}"] for name in self._variables}


class Persistence(nn.Module):
    """Predicts the whole field of the day before, the climatology where the split has none.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__()
        self._variables = tuple(variables)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Looks the fields up."""
        known = batch["has_yesterday"][:, None, None]
        return {
            f"{FIELD}{name}": torch.where(known, batch[f"yesterday/{name}"], batch[f"climatology/{name}"])
            for name in self._variables
        }
