"""The split of days into training, validation and test, and the leads of forecasts."""

import numpy as np
from jaxtyping import Int64

from thalweg.contract import SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""In the order of time."""
LEADS = (1, 3, 5, 10)
"""Days from the issue of a forecast to the days on which it is evaluated."""

Days = Int64[np.ndarray, " day"]


def split_days(num_days: int) -> dict[SplitName, range]:
    """Splits days in the order of time: three fifths, one fifth and the rest.

    The reference data set of 23,386 days has 14,031, 4,677 and 4,678.
    """
    train, val = num_days * 3 // 5, num_days // 5
    return {
        "train": range(train),
        "val": range(train, train + val),
        "test": range(train + val, num_days),
    }
