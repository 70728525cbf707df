"""The split of days into training, validation and test, and how far forecasts reach in each."""

from collections.abc import Iterator, Mapping

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


def reach(day: Days) -> int:
    """Returns how many days at most follow a day without a jump.

    Args:
        day: Numbers of the days of a split, ascending.
    """
    starts = np.flatnonzero(np.diff(day, prepend=day[:1] - 2) != 1)
    return max(int(np.diff(starts, append=len(day)).max(initial=1)) - 1, 0)


def leads_without_windows(day: Days, splits: Mapping[SplitName, range]) -> Iterator[str]:
    """Yields a sentence for each split in which no run of days is as long as the last lead of forecasts.

    Args:
        day: Numbers of all days.
        splits: Positions of the days of each split.
    """
    for split, days in splits.items():
        longest = reach(day[days.start : days.stop])
        if longest < max(LEADS):
            held = [f"{lead}" for lead in LEADS if lead <= longest]
            yield (
                f"no day of {split} is followed by more than {longest:,} others without a jump: of forecasts "
                f"{', '.join(map(str, LEADS))} days ahead, {split} holds "
                f"{'those ' + ' and '.join(held) + ' ahead alone' if held else 'none'}"
            )
