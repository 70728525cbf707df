"""Streaming mean and variance, and the day-of-year climatology."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer

DAYS_OF_YEAR = 366
HALF_WIDTH = 15
"""Days on either side that the moving average of a climatology includes."""


def runs(numbers: Iterable[int]) -> list[list[int]]:
    """Returns the first and the last number of each run of consecutive whole numbers, ascending.

    A store tells so, in a few numbers, of which days its statistics were computed.
    """
    found: list[list[int]] = []
    for number in sorted({int(each) for each in numbers}):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def of_runs(found: Iterable[Sequence[int]]) -> list[int]:
    """Returns the numbers of runs, which may overlap, ascending: the inverse of `runs`."""
    return sorted({number for first, last in found for number in range(first, last + 1)})


@dataclass
class Moments:
    """Mean and variance of values that arrive in pieces, merged in float64.

    Source: Chan, Golub & LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample
    variances, Eq. 2.1.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: Float[np.ndarray, "*shape"]) -> None:
        """Adds finite values of any shape."""
        if not values.size:
            return
        mean = float(values.mean(dtype=np.float64))
        squares = float(np.square(values - np.float64(mean)).sum())
        total = self.count + values.size
        shift = mean - self.mean
        self.mean += shift * values.size / total
        self.squares += squares + shift * shift * self.count * values.size / total
        self.count = total

    @property
    def std(self) -> float:
        """Population standard deviation; 0 without values."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0


class Climatology:
    """Mean of each day of the year, smoothed by a circular moving average.

    Args:
        shape: Shape of one day.
        half_width: Days on either side that the moving average includes; it wraps around the year.
    """

    def __init__(self, shape: tuple[int, ...], half_width: int = HALF_WIDTH) -> None:
        self._sums = np.zeros((DAYS_OF_YEAR, *shape), dtype=np.float64)
        self._counts = np.zeros((DAYS_OF_YEAR, *shape), dtype=np.float64)
        self._half_width = half_width

    def update(
        self,
        days: Float32[np.ndarray, "day modality *item"],
        day_of_year: Integer[np.ndarray, " day"],
        observed: Bool[np.ndarray, "day modality *item"],
    ) -> None:
        """Adds days; ignores missing values."""
        for values, position, known in zip(days, day_of_year, observed, strict=True):
            self._sums[position, known] += values[known]
            self._counts[position, known] += 1

    def smoothed(self) -> Float32[np.ndarray, "366 modality *item"]:
        """Returns the smoothed means; 0 for a place without data on any day of the average."""
        sums = _circular_sum(self._sums, self._half_width)
        counts = _circular_sum(self._counts, self._half_width)
        mean: Float32[np.ndarray, "366 modality *item"] = (sums / np.maximum(counts, 1)).astype(np.float32)
        return mean


def _circular_sum(
    values: Float[np.ndarray, " day *item"], half_width: int
) -> Float[np.ndarray, " day *item"]:
    """Sums each day with `half_width` neighbours on either side; the first day follows the last."""
    around = np.concatenate([values[-half_width - 1 :], values, values[:half_width]])
    running = np.cumsum(around, axis=0)
    difference: Float[np.ndarray, " day *item"] = running[2 * half_width + 1 :] - running[: len(values)]
    return difference
