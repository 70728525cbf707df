"""Which modalities a window lacks, because they have no data for too long, and how many windows lack them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int64

from thalweg.contract import SplitName
from thalweg.data.windows import bridged, whole
from trainables.water_mae.config import DataKnobs


def longest_bridged(knobs: DataKnobs) -> int:
    """Returns the longest run of days without a modality, in days, that a window may hold; some day always remains."""
    return min(knobs.max_common_gap, knobs.sequence_length - 1)


def present_days(
    recorded: Bool[np.ndarray, "day modality"], spans: Mapping[SplitName, range], knobs: DataKnobs
) -> Bool[np.ndarray, "day modality"]:
    """Returns the days on which a modality is there or missing for a short while only.

    Args:
        recorded: Where something of a modality is data.
        spans: Positions of each split on the day axis.
        knobs: How long is short.
    """
    return bridged(recorded, spans.values(), longest_bridged(knobs))


def lost_windows(
    modality: str,
    present: Bool[np.ndarray, " day"],
    starts: Mapping[SplitName, Int64[np.ndarray, " window"]],
    knobs: DataKnobs,
) -> tuple[str, ...]:
    """Says how many windows of each split lack a modality; nothing where none does."""
    lost = {
        split: int((whole(present[:, None], firsts, knobs.sequence_length) == 0).sum())
        for split, firsts in starts.items()
    }
    if not any(lost.values()):
        return ()
    counts = ", ".join(f"{lost[split]} of {len(firsts)} of {split}" for split, firsts in starts.items())
    days = longest_bridged(knobs)
    return (f"{modality}: windows without it, for more than {days} days in a row have no data: {counts}",)
