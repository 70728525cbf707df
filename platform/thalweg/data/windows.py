"""Windows of consecutive days: finds their first days and gathers them from a day-major array."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

from thalweg.contract import SplitName


def num_windows(num_days: int, length: int, stride: int) -> int:
    """Returns how many windows of `length` days fit into `num_days`, if one starts every `stride` days."""
    return max(0, (num_days - length) // stride + 1)


def window_starts(
    days: Mapping[SplitName, range], length: int, stride: int
) -> dict[SplitName, Int64[np.ndarray, " window"]]:
    """Returns the first day of each window, by split; every window lies within its split.

    Args:
        days: Positions of each split on the day axis.
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
    """Copies windows out of a day-major array; the days of each modality become contiguous, and the dtype stays.

    A strided copy per window costs about as much as a plain copy of the same bytes, also from a memory map.
    """
    out = np.empty((len(starts), series.shape[1], length, *series.shape[2:]), dtype=series.dtype)
    gather_into(out, series, starts)
    return out


def gather_into(
    out: Shaped[np.ndarray, "window modality time *item"],
    series: Shaped[np.ndarray, "day modality *item"],
    starts: Int64[np.ndarray, " window"],
) -> None:
    """Copies windows out of a day-major array into memory that is there; see `gather`."""
    length = out.shape[2]
    for window, first in zip(out, starts.tolist(), strict=True):
        window[...] = series[first : first + length].swapaxes(0, 1)


def bridged(
    recorded: Bool[np.ndarray, "day modality"], spans: Iterable[range], max_gap: int
) -> Bool[np.ndarray, "day modality"]:
    """Returns the days on which a modality is recorded, or missing in a gap of at most `max_gap` days within a split.

    Args:
        recorded: Days on which a modality has any data.
        spans: Positions of each split on the day axis.
        max_gap: Longest gap, in days, that counts as present.
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
    """Returns 1 if a modality is present on every day of a window, else 0."""
    days = starts[:, None] + np.arange(length)
    complete: Bool[np.ndarray, "window modality"] = np.logical_and.reduce(present[days], axis=1)
    return complete.astype(np.float32)
