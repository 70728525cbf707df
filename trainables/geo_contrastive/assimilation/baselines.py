"""Baselines of analyses: the climatology, optimal interpolation, and yesterday's optimal interpolation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.assimilation.measure import ANALYSIS
from trainables.geo_contrastive.assimilation.optimal import optimal_analysis
from trainables.geo_contrastive.baselines.simple import Known
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.evaluation.subset import rows_scored


class KnownAnalysis(Known):
    """Takes fields of a batch for analyses of the days that are scored.

    Args:
        variables: Names of the variables.
        source: Prefix of the names of the fields (batch, lon, lat) in the batch.
    """

    def __init__(self, variables: Sequence[str], source: str) -> None:
        super().__init__(variables, source, ANALYSIS, _of_scored_days)


def _of_scored_days(fields: Tensor, batch: Batch) -> Tensor:
    return fields[rows_scored(batch)]


class YesterdaysAnalysis(nn.Module):
    """Takes the optimal interpolation of the day before for that of today; the climatology where there is no such day.

    Args:
        data: Opened data.
    """

    def __init__(self, data: FieldData) -> None:
        super().__init__()
        self._data = data

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Analyses the days before."""
        rows = rows_scored(batch)
        known = batch["has_yesterday"][rows]
        days = batch["day"][rows].cpu().numpy() - 1
        positions = np.minimum(np.searchsorted(self._data.day, days), len(self._data.day) - 1)
        found = {}
        for name, analysis in optimal_analysis(self._data, positions).items():
            usual = batch[f"climatology/{name}"][rows]
            found[f"{ANALYSIS}{name}"] = torch.where(known[:, None, None], analysis.to(usual.device), usual)
        return found
