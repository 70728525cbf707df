"""Looks at the values of fields: extremes, what is missing, and what is implausible where a law is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import overload

import numpy as np
from jaxtyping import Bool, Float, Int64

from thalweg.data.bounds import Bounds
from thalweg.data.survey import Extremes, Survey
from thalweg.errors import DataError
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Described
from trainables.geo_contrastive.data.quantities import quantity_named

_MARKS = (-999.0, -9999.0, -99999.0, -32767.0, -32768.0)  # that files use for missing data without saying so
_ROUNDING = 2.0**-23  # of the range: numbers that were unpacked in single precision are off by about as much
_LARGEST = 1e15  # a number beyond is a mark of missing data that is not declared, or infinite


class FieldSurvey:
    """Surveys a variable, block by block.

    Args:
        described: The variable.
        grid: Its grid, for messages.
        calendar: The calendar of its days.
        source: Where the values are, for messages.
    """

    def __init__(self, described: Described, grid: Grid, calendar: Calendar, source: object) -> None:
        quantity = quantity_named(described.quantity)
        self._calendar = calendar
        self._place = partial(_place, grid)
        self._unit = described.unit
        self._name, self._source = described.name, source
        self._marks = _MARKS if quantity is None else ()  # the bounds of a quantity exclude or mean them
        self._num_marks, self._mark = 0, ""
        self._survey = Survey(
            described.name if quantity is None else f"{described.name} ({quantity.name})",
            source,
            (Bounds("", -_LARGEST, _LARGEST),) if quantity is None else quantity.bounds,
            place=self._place,
            hint="correct the attribute units if they are others",
            units="" if quantity is None else described.unit,
            rounding=0.0 if quantity is None else _ROUNDING,
        )

    @property
    def extremes(self) -> Extremes:
        """Extremes so far, in the unit that the file declares."""
        found = self._survey.extremes
        return replace(found, unit=self._unit or found.unit)

    def allow(self, precision: float) -> None:
        """Tolerates values beyond the bounds by the rounding error of packing."""
        self._survey.allow(precision)

    def update(self, days: Float[np.ndarray, "day lon lat"], numbers: Int64[np.ndarray, " day"]) -> None:
        """Adds a block, with the numbers of its days."""
        flat = days.reshape(len(days), -1)
        known = ~np.isnan(flat)
        self._survey.update(flat, known, _Dates(self._calendar, numbers))
        self._look_for_marks(flat, known, numbers)

    def settled(self, days: Float[np.ndarray, "day lon lat"]) -> Float[np.ndarray, "day lon lat"]:
        """Returns days in which values that rounding has moved beyond the bounds are the bounds: no rain is below 0."""
        return self._survey.settled(days)

    @property
    def note(self) -> str:
        """A sentence on the values that `settled` has changed; empty if there are none."""
        count = self._survey.num_settled
        if not count:
            return ""
        which = "values, which rounding had moved beyond their bounds, were"
        if count == 1:
            which = "value, which rounding had moved beyond its bound, was"
        return f"{self._name}: {count:,} {which} set to the bound, as rain just below 0 to 0"

    def raise_if_any(self) -> None:
        """Raises if a value is implausible.

        Raises:
            DataError: A value lies beyond the bounds of its unit or marks missing data, or the unit is not one of its
                quantity.
        """
        self._survey.raise_if_any()
        if self._num_marks:
            raise DataError(
                f"{self._name} in {self._source} must not mark missing data by numbers that look like data, got "
                f"{self._num_marks:,} times {self._mark}; declare that number as its _FillValue, or write NaN"
            )

    def _look_for_marks(
        self,
        flat: Float[np.ndarray, "day cell"],
        known: Bool[np.ndarray, "day cell"],
        numbers: Int64[np.ndarray, " day"],
    ) -> None:
        """Counts values that are a usual mark of missing data exactly, if no other value comes near it."""
        low = float(flat.min(initial=np.inf, where=known)) if self._marks else np.inf
        if low not in self._marks:
            return
        marked = flat == low
        if flat.min(initial=np.inf, where=known & ~marked) < low / 2:
            return
        if not self._num_marks:
            day, cell = (int(each[0]) for each in np.nonzero(marked))
            self._mark = f"{low:g}, first on {self._calendar.text(int(numbers[day]))} {self._place(cell)}"
        self._num_marks += int(marked.sum())


@dataclass(frozen=True)
class _Dates(Sequence[str]):
    """Names of days, made when one is asked for."""

    calendar: Calendar
    numbers: Int64[np.ndarray, " day"]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self.calendar.text(int(number)) for number in self.numbers[position]]
        return self.calendar.text(int(self.numbers[position]))


def _place(grid: Grid, number: int) -> str:
    first, second = divmod(number, grid.shape[1])
    unit = "degrees" if grid.geographic else "m"
    return f"at {grid.first[first]:g}, {grid.second[second]:g} {unit}"
