"""Which days of the training split baselines are fitted to: evenly spaced, and no more than memory holds."""

import numpy as np
from jaxtyping import Int64

from trainables.geo_contrastive.data.fields import FieldData

MAX_VALUES = 1 << 26
"""Values of a matrix of days and cells, 512 MiB in double precision."""


def every_few_days(data: FieldData, max_days: int, num_cells: int) -> Int64[np.ndarray, " day"]:
    """Returns positions of training days, the first one and then each so many days.

    Args:
        data: Opened data.
        max_days: Days at most; fewer if so many days of all cells exceed `MAX_VALUES`, but two at least.
        num_cells: Cells of a day.
    """
    train = data.days["train"]
    count = min(max_days, max(MAX_VALUES // max(num_cells, 1), 2))
    return np.arange(train.start, train.stop, -(-len(train) // count))
