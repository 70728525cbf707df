"""Tells amounts over the time before each stamp from totals that run up over the day, as ERA5-Land has them."""

import numpy as np
from jaxtyping import Bool, Float

_MIN_TIMES = 8  # of a day: with fewer, what falls in the last hours of each day looks the same
_MIN_DAYS, _MIN_WET = 3, 20  # days, and cells of days, with a change before anything is concluded
_ENOUGH = 30  # days with a change after which no more are looked at
_MAX_FALLS = 0.02  # share of the rises that packing may undo


class Accumulation:
    """Looks at how the values of a variable change within days and from day to day.

    A total that runs up over the day leaps at the end of each, by about as many usual steps as a day has; an amount
    does not. Precipitation that runs up does not fall within a day.

    Args:
        per_day: Times of a day.
    """

    def __init__(self, per_day: int) -> None:
        self._per_day = per_day
        self._num_times = 0  # of the day that is looked at
        self._last: Float[np.ndarray, "_lon _lat"] = np.empty((0, 0), np.float32)
        self._moved: Bool[np.ndarray, "_lon _lat"] = np.empty((0, 0), bool)
        self._rises = self._falls = 0.0
        self._leaps = 0.0
        self._num_leaps = self._num_days = self._num_wet = 0

    @property
    def is_known(self) -> bool:
        """Whether enough days have been seen to tell."""
        return self._num_days >= _MIN_DAYS and self._num_wet >= _MIN_WET

    @property
    def is_running(self) -> bool:
        """Whether values are totals that run up within days."""
        return self._falls <= _MAX_FALLS * self._rises or self._leap > self._per_day / 3

    @property
    def restarts(self) -> bool:
        """Whether running totals begin anew with each day."""
        return self._leap > self._per_day / 4

    def update(self, fields: Float[np.ndarray, "time lon lat"]) -> None:
        """Adds fields in the order of time: a day, or a part of one; the first ones begin a day."""
        if self._per_day < _MIN_TIMES or self._num_days >= _ENOUGH:
            return
        if self._num_times:
            fields = np.concatenate([self._last[None], fields])
        elif self._last.size:
            self._leaps += _total(np.abs(fields[0] - self._last))
            self._num_leaps += 1
        steps = np.diff(fields, axis=0)
        self._rises += _total(np.clip(steps, 0, None))
        self._falls += _total(np.clip(-steps, 0, None))
        moved = (np.abs(np.nan_to_num(steps)) > 0).any(axis=0)
        self._moved = moved | self._moved if self._num_times else moved
        self._num_times += len(steps) + (not self._num_times)
        self._last = fields[-1]
        if self._num_times == self._per_day:
            self._num_times = 0
            self._num_days += bool(self._moved.any())
            self._num_wet += int(self._moved.sum())

    @property
    def _leap(self) -> float:
        """Mean leap from day to day, in mean steps within days."""
        steps = (self._rises + self._falls) / ((self._num_leaps + 1) * (self._per_day - 1))
        return self._leaps / max(self._num_leaps, 1) / steps if steps else 0.0


def _total(values: Float[np.ndarray, "*shape"]) -> float:
    return float(np.nansum(values, dtype=np.float64))
