"""Filling cells without data, day by day, so that no sentinel reaches a model."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped
from scipy.spatial import KDTree

from thalweg.errors import DataError

FillMethod = Literal["zero", "nearest", "median"]


@dataclass
class Fill:
    """Fills cells of a daily field, piece after piece, and counts them.

    Args:
        method: ``zero``; ``nearest``, the nearest cell with data on the same day, of several the first; or ``median``
            of the cells with data on the same day.
        places: Row and column of each cell.
        num_values: Values filled so far.
        num_days: Days on which something was filled.
    """

    method: FillMethod
    places: Int64[np.ndarray, "cell 2"]
    num_values: int = 0
    num_days: int = 0
    _cells: Bool[np.ndarray, " cell"] = field(init=False)
    _pattern: bytes = field(init=False, default=b"")
    _sources: Int64[np.ndarray, " missing"] = field(init=False)

    def __post_init__(self) -> None:
        self._cells = np.zeros(len(self.places), bool)
        self._sources = np.empty(0, np.int64)

    @property
    def num_cells(self) -> int:
        """Cells in which something was filled."""
        return int(self._cells.sum())

    def __call__(
        self,
        values: Float32[np.ndarray, "day cell"],
        missing: Bool[np.ndarray, "day cell"],
        dates: Shaped[np.ndarray, " day"],
    ) -> Float32[np.ndarray, "day cell"]:
        """Returns the values with something in place of what is missing.

        Args:
            values: Days of the field.
            missing: Where there are no data.
            dates: The days.

        Raises:
            DataError: A day has no data at all, and the method needs some.
        """
        filled = values.copy()
        days = np.flatnonzero(missing.any(axis=1))
        for day in days:
            gaps = missing[day]
            if self.method != "zero" and gaps.all():
                raise DataError(
                    f"a day must have data somewhere to be filled by {self.method}, got none on {dates[day]}; "
                    "fill with zero, or leave the day out"
                )
            filled[day, gaps] = self._replacement(values[day], gaps)
        self.num_values += int(missing.sum())
        self.num_days += len(days)
        self._cells |= missing.any(axis=0)
        return filled

    def _replacement(
        self, values: Float32[np.ndarray, " cell"], gaps: Bool[np.ndarray, " cell"]
    ) -> Float32[np.ndarray, "*missing"]:
        if self.method == "zero":
            return np.zeros(int(gaps.sum()), np.float32)
        if self.method == "median":
            return np.full(int(gaps.sum()), np.median(values[~gaps]), np.float32)
        if gaps.tobytes() != self._pattern:  # the same cells are missing on most days
            self._pattern = gaps.tobytes()
            known = np.flatnonzero(~gaps)
            distance, found = KDTree(self.places[known]).query(self.places[gaps], k=min(16, len(known)))
            distance, found = (part.reshape(int(gaps.sum()), -1) for part in (distance, found))
            # of equally near cells the first, whatever order the tree is in
            ties = np.where(distance <= distance[:, :1] * (1 + 1e-9), found, len(known))
            self._sources = known[ties.min(axis=1)]
        nearest: Float32[np.ndarray, "*missing"] = values[self._sources]
        return nearest
