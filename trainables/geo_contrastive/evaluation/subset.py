"""The days of a split on which costly predictions are scored."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from thalweg.contract import Batch, Indices

MAX_DAYS = 128
"""Days of a split that are scored at most, evenly spaced: neighbouring days tell much the same."""
SCORED = "scored"
"""Name in a batch of the mask of the days that are scored."""


def scored_days(indices: Indices, num_days: int) -> Bool[Tensor, " batch"]:
    """Returns which samples of a split are scored: the first one and each that lies so many behind another.

    Args:
        indices: Samples.
        num_days: Days of the split.
    """
    return torch.from_numpy(indices % max(1, -(-num_days // MAX_DAYS)) == 0)


def rows_scored(batch: Batch) -> Int64[Tensor, " row"]:
    """Returns the rows of a batch that are predicted: those that are scored, or without any the first one.

    Every batch thus takes the same way through a model; what is measured of a row that is not scored weighs nothing.
    """
    rows = batch[SCORED].nonzero()[:, 0]
    return rows if len(rows) else rows.new_zeros(1)
