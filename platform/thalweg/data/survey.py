"""Surveys the values of an array: extremes, number missing, and values out of bounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Shaped

from thalweg.data.bounds import Bounds
from thalweg.errors import DataError
from thalweg.wording import counted

_ROUNDING = 1e-6  # tolerance for rounding errors, of what is smaller, 1 or the range of the bounds


@dataclass(frozen=True)
class Extremes:
    """Extremes of the valid values, and how many are missing.

    Attributes:
        low: Smallest value; infinity if there is none.
        high: Largest value; minus infinity if there is none.
        num_values: Number of all values.
        num_missing: Number of those that are missing.
        unit: Their unit.
    """

    low: float = float("inf")
    high: float = float("-inf")
    num_values: int = 0
    num_missing: int = 0
    unit: str = ""

    def __add__(self, other: Self) -> "Extremes":
        """Returns the extremes of both together."""
        return Extremes(
            min(self.low, other.low),
            max(self.high, other.high),
            self.num_values + other.num_values,
            self.num_missing + other.num_missing,
            self.unit or other.unit,
        )

    def __str__(self) -> str:
        share = self.num_missing / max(self.num_values, 1)
        missing = (
            "none" if not self.num_missing else "under 0.1 %" if share < 1e-3 else f"{100 * share:.1f} %"
        )
        values = (
            f"{self.low:.4g} to {self.high:.4g}{_words(self.unit)}" if self.low <= self.high else "no value"
        )
        return f"{values}, {missing} missing"


class Survey:
    """Surveys the values of one quantity in one file, piece by piece.

    The unit is the declared one, else that of the first bounds that contain the median of the first piece.

    Args:
        name: The quantity.
        source: Origin of the values, for messages.
        bounds: Bounds of the quantity in each unit that it may have.
        place: Returns the name of a place, given its number.
        way_out: How a file marks a missing value, for messages.
        hint: One more way out.
        units: The declared unit, empty if there is none; an unknown one is refused.
        rounding: Further tolerance for rounding errors, as a share of the range of the bounds.

    Attributes:
        num_settled: Values that `settled` has changed.
    """

    def __init__(
        self,
        name: str,
        source: object,
        bounds: Sequence[Bounds],
        *,
        place: Callable[[int], str],
        way_out: str = "declare it as its _FillValue",
        hint: str = "",
        units: str = "",
        rounding: float = 0.0,
    ) -> None:
        self._name, self._source, self._place = name, source, place
        self._way_out = f"{way_out}, or write NaN{'; ' if hint else ''}{hint}"
        self._choice = tuple(bounds)
        self._bounds = next((each for each in bounds if each.is_called(units)), None)
        self._unknown_unit = units if units and self._bounds is None else ""
        if len(self._choice) == 1:
            (self._bounds,) = self._choice
        self._precision, self._rounding = 0.0, rounding
        self.num_settled = 0
        self._extremes = Extremes()
        self._first = ""
        self._num_wrong = 0
        self._wrong_places: set[int] = set()

    @property
    def bounds(self) -> tuple[Bounds, ...]:
        """The bounds in the unit of the values; those of all units before the first value."""
        return self._choice if self._bounds is None else (self._bounds,)

    @property
    def extremes(self) -> Extremes:
        """Extremes so far."""
        return self._extremes

    def allow(self, precision: float) -> None:
        """Tolerates values beyond the bounds by the rounding error of packing."""
        self._precision = max(self._precision, precision)

    def update(
        self,
        values: Float[np.ndarray, "day place"],
        known: Bool[np.ndarray, "day place"],
        dates: Sequence[Any] | Shaped[np.ndarray, " day"],
    ) -> None:
        """Adds a piece.

        Args:
            values: The values.
            known: Where they are data.
            dates: Name of each row for messages; empty if it is no day.
        """
        num_known = int(np.count_nonzero(known))
        there = values if num_known == values.size else values[known]
        low = high = None
        if num_known:
            if self._bounds is None:
                self._bounds = self._of(float(np.median(there)))
            low, high = float(there.min()), float(there.max())
        piece = Extremes(num_values=values.size, num_missing=values.size - num_known)
        if low is not None and high is not None and self._bounds is not None:
            piece += Extremes(low, high, unit=self._bounds.unit)
            slack = self._slack(self._bounds)
            if not (low >= self._bounds.low - slack and high <= self._bounds.high + slack):
                self._keep(values, known, dates, self._bounds)
        self._extremes += piece

    def settled(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Returns values, clipping to the bounds those that rounding has moved beyond them; others stay."""
        if self._bounds is None:
            return values
        bounds, slack = self._bounds, self._slack(self._bounds)
        lowest = {bounds.low, bounds.low if bounds.limit is None else bounds.limit}
        for bound, moved in (
            *((low, (values < low) & (values >= low - slack)) for low in sorted(lowest)),
            (bounds.high, (values > bounds.high) & (values <= bounds.high + slack)),
        ):
            if count := int(np.count_nonzero(moved)):
                self.num_settled += count
                values = np.where(moved, values.dtype.type(bound), values)
        return values

    def _slack(self, bounds: Bounds) -> float:
        """Returns by how much rounding, that of packing and that of computing, may move a value beyond the bounds."""
        span = bounds.high - bounds.low
        return self._precision + max(_ROUNDING * min(span, 1.0), self._rounding * span)

    def _of(self, median: float) -> Bounds:
        fitting = (each for each in self._choice if each.low <= median <= each.high)
        return next(fitting, self._choice[0])

    def _keep(
        self,
        values: Float[np.ndarray, "day place"],
        known: Bool[np.ndarray, "day place"],
        dates: Sequence[Any] | Shaped[np.ndarray, " day"],
        bounds: Bounds,
    ) -> None:
        slack = self._slack(bounds)
        wrong = known & ~((values >= bounds.low - slack) & (values <= bounds.high + slack))
        days, places = np.nonzero(wrong)
        if not self._num_wrong:
            value = values[days[0], places[0]]
            date = dates[int(days[0])]
            self._first = f"first {value:g} {f'on {date} ' if date else ''}{self._place(int(places[0]))}"
        self._num_wrong += len(days)
        self._wrong_places |= set(places.tolist())

    def raise_if_any(self) -> None:
        """Raises if a value is out of bounds.

        Raises:
            DataError: The declared unit is not known, or a value lies beyond the bounds of its unit.
        """
        if self._unknown_unit:
            known = ", ".join(each.unit for each in self._choice)
            raise DataError(
                f"{self._name} in {self._source} must be in one of the units {known}, got the declared unit "
                f"{self._unknown_unit!r}; convert it, or correct the attribute units"
            )
        if not self._num_wrong or self._bounds is None:
            return
        others = counted(self._num_wrong, "other value")
        raise DataError(
            f"{self._name} in {self._source} must lie within {self._bounds.low:g} and {self._bounds.high:g}"
            f"{_words(self._bounds.unit)}, got {others} "
            f"in {counted(len(self._wrong_places), 'place')}, {self._first}; "
            f"where that means no data {self._way_out}"
        )


def _words(unit: str) -> str:
    return {"": "", "1": " (share)"}.get(unit, f" {unit}")
