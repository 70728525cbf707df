"""Baselines that look fields up: the mean of the calendar day, the day before, and whatever else a batch holds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.evaluation.reconstruction import FIELD


class Known(nn.Module):
    """Takes fields of a batch for predictions.

    Args:
        variables: Names of the variables.
        source: Prefix of the names of the fields (batch, lon, lat) in the batch.
        target: Prefix of the names of the predictions.
        shaped: Makes predictions of fields and their batch, such as one for each lead; None takes them as they are.
    """

    def __init__(
        self,
        variables: Sequence[str],
        source: str,
        target: str,
        shaped: Callable[[Tensor, Batch], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._variables, self._source, self._target = tuple(variables), source, target
        self._shaped = shaped or _as_they_are

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Looks the fields up."""
        return {
            f"{self._target}{name}": self._shaped(batch[f"{self._source}/{name}"], batch)
            for name in self._variables
        }


def _as_they_are(fields: Tensor, batch: Batch) -> Tensor:
    return fields


class Together(nn.Module):
    """Joins the predictions of several baselines, such as one that reconstructs and one that forecasts.

    Args:
        baselines: The baselines; names of their predictions differ.
    """

    def __init__(self, *baselines: nn.Module) -> None:
        super().__init__()
        self.baselines = nn.ModuleList(baselines)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Predicts all."""
        return {name: values for baseline in self.baselines for name, values in baseline(batch).items()}


class Climatology(Known):
    """Predicts the training split's mean of the day of the year.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__(variables, "climatology", FIELD)


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
