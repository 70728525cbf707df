"""Windows of consecutive days: where they start, and gathering them from a day-major array."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

from thalweg.contract import SplitName


def num_windows(num_days: int, length: int, stride: int) -> int:
    """Returns how many windows of `length` days fit into `num_days`, one starting every `stride` days."""
    return max(0, (num_days - length) // stride + 1)


def window_starts(
    days: Mapping[SplitName, range], length: int, stride: int
) -> dict[SplitName, Int64[np.ndarray, " window"]]:
    """Returns the first day of each window, by split; no window leaves its split.

    Args:
        days: The consecutive positions that each split has on the day axis.
        length: Days in a window.
        stride: Days between the first days of neighbouring windows.
    """
    return {
        split: span.start + stride * np.arange(num_windows(len(span), length, stride), dtype=np.int64)
        for split, span in days.items()
    }


def gather(
    series: Shaped[np.ndarray, "day modality *item"], starts: Int64[np.ndarray, " window"], length: int
) -> Shaped[np.ndarray, "window modality time *item"]:
    """Copies windows out of a day-major array; each modality's days become contiguous, and the number format stays.

    One strided copy per window costs about what a plain copy of the same bytes does, also from a memory map.
    """
    out = np.empty((len(starts), series.shape[1], length, *series.shape[2:]), dtype=series.dtype)
    for window, first in zip(out, starts.tolist(), strict=True):
        window[...] = series[first : first + length].swapaxes(0, 1)
    return out


def bridged(
    recorded: Bool[np.ndarray, "day modality"], spans: Iterable[range], max_gap: int
) -> Bool[np.ndarray, "day modality"]:
    """Returns where a modality is recorded, or missing for a run of at most `max_gap` days of a split.

    Args:
        recorded: Where something of a modality is data.
        spans: The consecutive positions that each split has on the day axis.
        max_gap: Days.
    """
    present = recorded.copy()
    for span in spans:
        for modality in range(recorded.shape[1]):
            edges = np.diff(recorded[span.start : span.stop, modality], prepend=True, append=True)
            for first, stop in span.start + np.flatnonzero(edges).reshape(-1, 2):
                present[first:stop, modality] = stop - first <= max_gap
    return present


def whole(
    present: Bool[np.ndarray, "day modality"], starts: Int64[np.ndarray, " window"], length: int
) -> Float32[np.ndarray, "window modality"]:
    """Returns 1 where a modality is present on every day of a window, else 0."""
    days = starts[:, None] + np.arange(length)
    complete: Bool[np.ndarray, "window modality"] = np.logical_and.reduce(present[days], axis=1)
    return complete.astype(np.float32)
