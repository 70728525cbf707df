"""Which days a forecast reads and which it is for: on one side of every jump, in one split."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from thalweg.contract import Indices, SplitName
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import DayIndex, day_index


@dataclass(frozen=True)
class Window:
    """Positions of days in a split, one row for each day on which a forecast is issued.

    Attributes:
        context: Days that are read, the oldest first, ending with the day of issue.
        ahead: Days that are forecast; the day of issue where there is none.
        exists: Whether there is such a day to come.
    """

    context: Int64[np.ndarray, "batch context"]
    ahead: Int64[np.ndarray, "batch ahead"]
    exists: Bool[np.ndarray, "batch ahead"]


def window(
    index: DayIndex, indices: Indices, *, context: int, stride: int, ahead: Int64[np.ndarray, " ahead"]
) -> Window:
    """Returns the days around days of issue.

    Every day is a day of issue, whatever the context: where the record does not reach back far enough, the oldest day
    of the context that it holds stands for those before it.

    Args:
        index: The split.
        indices: Positions of the days of issue.
        context: Number of days that are read.
        stride: Distance of these days.
        ahead: Distances of the days that are forecast, in days.
    """
    back = stride * np.arange(context - 1, -1, -1)
    reach = index.before[indices] // stride * stride
    exists = ahead <= index.after[indices][:, None]
    return Window(
        context=indices[:, None] - np.minimum(back, reach[:, None]),
        ahead=indices[:, None] + ahead * exists,
        exists=exists,
    )


def index_of(data: FieldData, split: SplitName) -> DayIndex:
    """Returns the index of the days of a split, built once for each data set."""
    days = data.days[split]
    return day_index(data.day[days.start : days.stop], f"{data.fingerprint} {split}")
