"""A baseline of ensembles: days of the training split at the same time of the year."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.data.normalization import DAYS_OF_YEAR
from trainables.geo_contrastive.data.draws import branch, stream, uniform
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.diffusion.scores import ENSEMBLE, NUM_MEMBERS
from trainables.geo_contrastive.evaluation.subset import rows_scored

MAX_DISTANCE = 10
"""Days between the days of the year of a day and of its members, if the training split has enough such days."""


class CalendarEnsemble(nn.Module):
    """Draws whole days of the training split, without replacement, the same ones for a day in every evaluation.

    A training split of fewer days than `NUM_MEMBERS` gives all of them.

    Args:
        data: Opened data.
    """

    def __init__(self, data: FieldData) -> None:
        super().__init__()
        self._data = data

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Looks the members up for the days that are scored."""
        days = batch["day"][rows_scored(batch)]
        chosen = np.stack([self._members(day) for day in days.tolist()])
        return {
            f"{ENSEMBLE}{name}": torch.from_numpy(fields[chosen]).to(days.device)
            for name, fields in self._data.fields.items()
        }

    def _members(self, day: int) -> Int64[np.ndarray, " member"]:
        """Returns the positions of the members of a day of the data."""
        train = self._data.days["train"]
        of_year = self._data.day_of_year
        apart = np.abs(of_year[train.start : train.stop] - of_year[np.searchsorted(self._data.day, day)])
        apart = np.minimum(apart, DAYS_OF_YEAR - apart)
        apart[self._data.day[train.start : train.stop] == day] = DAYS_OF_YEAR  # the day itself comes last
        key = branch(np.array([day], np.uint64), stream("calendar ensemble"))
        random = uniform(branch(key, np.arange(len(apart), dtype=np.uint64)))
        # Days that are near enough come first in a random order, then the others by their distance.
        order = np.lexsort((random, np.maximum(apart - MAX_DISTANCE, 0)))
        found: Int64[np.ndarray, " member"] = train.start + order[:NUM_MEMBERS]
        return found
