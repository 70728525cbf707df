"""Gaps of a modality: short ones are bridged within a window; long ones leave windows without the modality."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int64

from thalweg.contract import SplitName
from thalweg.data.windows import bridged, whole
from trainables.water_mae.knobs import DataKnobs


def longest_bridged(knobs: DataKnobs) -> int:
    """Returns the longest gap of a modality that a window may contain, in days; at least one day always has data."""
    return min(knobs.max_common_gap, knobs.sequence_length - 1)


def present_days(
    recorded: Bool[np.ndarray, "day modality"], spans: Mapping[SplitName, range], knobs: DataKnobs
) -> Bool[np.ndarray, "day modality"]:
    """Returns the days on which a modality has data or is in a short gap.

    Args:
        recorded: Days on which a modality has any data.
        spans: Positions of each split on the day axis.
        knobs: Longest short gap.
    """
    return bridged(recorded, spans.values(), longest_bridged(knobs))


def lost_windows(
    modality: str,
    present: Bool[np.ndarray, " day"],
    starts: Mapping[SplitName, Int64[np.ndarray, " window"]],
    knobs: DataKnobs,
) -> tuple[str, ...]:
    """Returns sentences on how many windows of each split lack a modality; none if no window does."""
    lost = {
        split: int((whole(present[:, None], firsts, knobs.sequence_length) == 0).sum())
        for split, firsts in starts.items()
    }
    if not any(lost.values()):
        return ()
    counts = ", ".join(f"{lost[split]} of {len(firsts)} of {split}" for split, firsts in starts.items())
    days = longest_bridged(knobs)
    return (f"{modality}: windows without it, for more than {days} days in a row have no data: {counts}",)
