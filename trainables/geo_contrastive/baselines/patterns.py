"""Optimal interpolation of masked fields in the space of the leading patterns of the training split.

Anomalies from the climatology are sums of empirical orthogonal functions with independent normal amplitudes; what is
left is independent noise of each cell. The amplitudes that are most likely given the visible cells solve a ridge
regression (reduced space optimal interpolation: Kaplan et al. 1997, doi:10.1029/97JC01734, Eqs. 9 and 10).
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.baselines.anomalies import anomalies_from
from trainables.geo_contrastive.baselines.valid_cells import ValidCells
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.leading import days_of_patterns, leading
from trainables.geo_contrastive.evaluation.reconstruction import FIELD
from trainables.geo_contrastive.model.interpolation import most_likely

MAX_PATTERNS = 128


class PatternInterpolation(nn.Module):
    """Reconstructs fields from their visible cells.

    Args:
        valid: Cells that have data, by variable; all variables are interpolated together.
        patterns: Amplitudes of one standard deviation in each valid cell, variable after variable.
        noise: Variance of each valid cell that the patterns leave over.
    """

    def __init__(
        self,
        valid: Mapping[str, Bool[np.ndarray, "_ _"]],
        patterns: Float[Tensor, "cell pattern"],
        noise: Float[Tensor, " cell"],
    ) -> None:
        super().__init__()
        self._variables = tuple(valid)
        self._cells = ValidCells(valid)
        self.register_buffer("patterns", patterns, persistent=False)
        self.register_buffer("noise", noise, persistent=False)
        self.patterns: Tensor
        self.noise: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Interpolates the first view; a cell of exactly 0 is hidden."""
        seen, usual = (
            self._cells.rows(fields).to(self.patterns.dtype)
            for fields in (
                {name: batch[f"view/{name}"][:, 0] for name in self._variables},
                {name: batch[f"climatology/{name}"] for name in self._variables},
            )
        )
        visible = (seen != 0).to(self.patterns.dtype) / self.noise
        amplitudes = most_likely(seen - usual, visible, self.patterns)
        found = self._cells.fields(usual + amplitudes @ self.patterns.T)
        return {
            f"{FIELD}{name}": field.to(batch[f"climatology/{name}"].dtype) for name, field in found.items()
        }


def fit(data: FieldData) -> PatternInterpolation:
    """Finds the patterns of at most 1024 days, evenly spread over the training split."""
    return PatternInterpolation(data.valid, *leading(torch.from_numpy(_anomalies(data)), MAX_PATTERNS))


def _anomalies(data: FieldData) -> Float32[np.ndarray, "day cell"]:
    """Returns anomalies of all valid cells, variable after variable."""
    num_cells = sum(int(cells.sum()) for cells in data.valid.values())
    positions = days_of_patterns(data, num_cells)
    usual = data.day_of_year[positions]
    return anomalies_from(data, positions, usual)
