"""Which days go together: positives near in time, negatives far away.

A record of days is indexed once; each draw then costs the same however long the record is.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64

from thalweg.contract import Indices, Keys, SplitName
from trainables.geo_contrastive.data.draws import below, branch, stream
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.knobs import PairKnobs

ANCHOR = "anchor"
NUM_POSITIVES = 3
"""The first roles: a day, and the days so many days later and earlier."""
HARD_DAYS = (10, 40)
"""Smallest and largest distance of a hard negative, in days: other weather of the same season."""


@dataclass(frozen=True, eq=False)
class DayIndex:
    """The days of a split, and how far its contiguous segments reach from each of them.

    Attributes:
        day: Numbers of the days, ascending; larger steps than 1 are jumps.
        before: Days that precede each day without a jump.
        after: Days that follow it without a jump.
    """

    day: Int64[np.ndarray, " day"]
    before: Int64[np.ndarray, " day"]
    after: Int64[np.ndarray, " day"]

    @property
    def reach(self) -> int:
        """How many days at most follow a day without a jump."""
        return int(self.after.max(initial=0))

    @classmethod
    def of(cls, day: Int64[np.ndarray, " day"]) -> "DayIndex":
        """Indexes days."""
        starts = np.flatnonzero(np.diff(day, prepend=day[:1] - 2) != 1)
        lengths = np.diff(starts, append=len(day))
        before = np.arange(len(day)) - np.repeat(starts, lengths)
        return cls(day, before, np.repeat(lengths, lengths) - 1 - before)


@dataclass(frozen=True)
class Drawn:
    """Days that go together, one row for each sample.

    Attributes:
        position: Position in the split of the day of each role; that of the anchor where a role is absent.
        present: Whether there is a day for the role.
        delta: Distance of the temporal positives in days; 0 where there are none.
    """

    position: Int64[np.ndarray, "batch role"]
    present: Bool[np.ndarray, "batch role"]
    delta: Int64[np.ndarray, " batch"]


def roles(pairs: PairKnobs | None) -> tuple[str, ...]:
    """Names what the views of a sample are, in their order; None leaves the anchor alone."""
    if pairs is None:
        return (ANCHOR,)
    negatives = {"hard": pairs.hard_negatives, "soft": pairs.soft_negatives}
    return (ANCHOR, "later", "earlier", *(name for name, wanted in negatives.items() if wanted))


def draw_days(index: DayIndex, pairs: PairKnobs | None, indices: Indices, keys: Keys) -> Drawn:
    """Draws the day of each role.

    The positives are ``delta`` days later and earlier, within the anchor's segment; delta is drawn uniformly from 1 to
    what fits on both sides, or on one side where the other has none, and at most ``max_delta``. Negatives are drawn
    uniformly from all days of the split at their distance, whichever segment they lie in.

    Args:
        index: The split.
        pairs: Distances and negatives; None draws anchors alone.
        indices: Positions of the anchors in the split.
        keys: One key per sample.
    """
    delta = np.zeros(len(indices), np.int64)
    drawn = {ANCHOR: (indices, np.ones(len(indices), bool))}
    if pairs is not None:
        delta, positives = _positives(index, pairs.max_delta, indices, keys)
        drawn |= positives
        if pairs.hard_negatives:
            drawn["hard"] = _negatives(index, HARD_DAYS, indices, branch(keys, stream("hard")))
        if pairs.soft_negatives:
            # No two days of a record are further apart than its first and last.
            distances = (pairs.soft_gap, int(index.day[-1] - index.day[0]))
            drawn["soft"] = _negatives(index, distances, indices, branch(keys, stream("soft")))
    return Drawn(
        np.stack([drawn[role][0] for role in roles(pairs)], axis=1),
        np.stack([drawn[role][1] for role in roles(pairs)], axis=1),
        delta,
    )


def with_negatives(index: DayIndex, distances: tuple[int, int]) -> Bool[np.ndarray, " day"]:
    """Returns which days of a split have another one at a distance within both bounds, in days."""
    every = np.arange(len(index.day))
    return _negatives(index, distances, every, every.astype(np.uint64))[1]


def index_of(data: FieldData, split: SplitName) -> DayIndex:
    """Returns the index of the days of a split, built once for each data set."""
    days = data.days[split]
    return day_index(data.day[days.start : days.stop], f"{data.fingerprint} {days.start} to {days.stop}")


def day_index(day: Int64[np.ndarray, " day"], fingerprint: str) -> DayIndex:
    """Returns the index of a split's days, built once for each data set.

    Args:
        day: The days.
        fingerprint: Of the data set and the range of its days: a preflight looks at a part of a split.
    """
    return _built(_Days(fingerprint, day))


@dataclass(frozen=True)
class _Days:
    fingerprint: str
    day: Int64[np.ndarray, " day"] = field(compare=False)


@lru_cache(maxsize=8)
def _built(days: _Days) -> DayIndex:
    return DayIndex.of(days.day)


Chosen = tuple[Int64[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]


def _positives(
    index: DayIndex, max_delta: int, indices: Indices, keys: Keys
) -> tuple[Int64[np.ndarray, " batch"], dict[str, Chosen]]:
    before, after = index.before[indices], index.after[indices]
    both = np.minimum(before, after)
    room = np.minimum(np.where(both > 0, both, np.maximum(before, after)), max_delta)
    delta = np.minimum(room, 1) + below(branch(keys, stream("delta")), room)
    later, earlier = (delta > 0) & (delta <= after), (delta > 0) & (delta <= before)
    return delta, {"later": (indices + delta * later, later), "earlier": (indices - delta * earlier, earlier)}


def _negatives(index: DayIndex, distances: tuple[int, int], indices: Indices, keys: Keys) -> Chosen:
    """Draws from the days whose distance lies within both bounds; they are two runs, before and after."""
    nearest, farthest = distances
    day = index.day[indices]
    first = np.searchsorted(index.day, day - farthest, side="left")
    stop = np.searchsorted(index.day, day - nearest, side="right")
    start_after = np.searchsorted(index.day, day + nearest, side="left")
    stop_after = np.searchsorted(index.day, day + farthest, side="right")
    num_before = np.maximum(stop - first, 0)
    count = num_before + np.maximum(stop_after - start_after, 0)
    number = below(keys, count)
    position = np.where(number < num_before, first + number, start_after + number - num_before)
    present = count > 0
    return np.where(present, position, indices), present
