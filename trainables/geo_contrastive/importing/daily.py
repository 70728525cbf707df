"""Means and sums of days, block by block."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from thalweg.errors import DataError
from trainables.geo_contrastive.data.layout import BLOCK_VALUES
from trainables.geo_contrastive.data.quantities import quantity_of
from trainables.geo_contrastive.importing.series import Series
from trainables.geo_contrastive.importing.timeline import DAY, Days, usual_step, whole_days

_RATES = ("mmday-1", "mm/day", "mm/d", "mmd-1", "s-1", "s**-1", "/s")
_MAX_BLOCK = 2 * BLOCK_VALUES


@dataclass(frozen=True)
class DailySeries:
    """A variable by day.

    Attributes:
        series: Its fields.
        days: Its whole days.
        sums: Whether days are sums, not means.
    """

    series: Series
    days: Days
    sums: bool

    @property
    def how(self) -> str:
        """How days came about, for people."""
        if self.days.per_day == 1:
            return "daily as it is"
        hours = self.days.step / 3600
        if self.sums:
            place = "within its bounds" if self.series.is_bounded else "before its time"
            return f"sums of {self.days.per_day} amounts, each over the {hours:g} h {place}"
        return f"means of {self.days.per_day} values, {hours:g} h apart"

    def blocks(self, numbers: Int64[np.ndarray, " day"]) -> Iterator[Float[np.ndarray, "day lon lat"]]:
        """Yields the fields of some of the days, which must ascend, in blocks.

        A day of which a cell lacks a value has none in that cell.
        """
        starts = self.days.starts[np.searchsorted(self.days.numbers, numbers)]
        per_day, cells = self.days.per_day, int(np.prod(self.series.grid.shape))
        budget = int(np.clip(self.series.chunk * cells, BLOCK_VALUES, _MAX_BLOCK)) // cells
        max_days = max(budget // per_day, 1)
        first = 0
        while first < len(starts):
            breaks = np.flatnonzero(np.diff(starts[first : first + max_days]) != per_day)
            stop = first + (int(breaks[0]) + 1 if breaks.size else len(starts[first : first + max_days]))
            yield self._aggregated(int(starts[first]), stop - first, max(budget, 1))
            first = stop

    def _aggregated(self, start: int, num_days: int, budget: int) -> Float[np.ndarray, "day lon lat"]:
        per_day = self.days.per_day
        stop = start + num_days * per_day
        if per_day == 1:
            return self.series.read(start, stop)
        if num_days == 1:
            parts = (
                self.series.read(low, min(low + budget, stop)).sum(axis=0, dtype=np.float64)
                for low in range(start, stop, budget)
            )
            total = np.sum(list(parts), axis=0)[None]
        else:
            fields = self.series.read(start, stop)
            total = fields.reshape(num_days, per_day, *fields.shape[1:]).sum(axis=1, dtype=np.float64)
        days: Float[np.ndarray, "day lon lat"] = total if self.sums else total / per_day
        return days


def by_day(series: Series, sums: Iterable[str], means: Iterable[str], day_starts: int) -> DailySeries:
    """Finds the days of a series.

    Args:
        series: The series.
        sums: Names of variables, in the source or in the data set, that are amounts before their times.
        means: Names of those that are not.
        day_starts: Hour at which a day begins.

    Raises:
        DataError: Times do not make up days, or it is not clear whether an amount is meant.
    """
    attributes, opened = series.attributes, series.pieces[0].opened
    names = series.names
    kind = attributes.get("GRIB_stepType", "")
    methods = attributes.get("cell_methods", "").replace(" ", "")
    told = bool(names & set(sums)) or bool(names & set(means))
    is_sum = bool(names & set(sums)) or (not told and (kind == "accum" or "time:sum" in methods))
    step = usual_step(series.seconds, opened.path)
    if step < DAY and not told and not is_sum and kind != "avg" and _may_be_amount(series):
        raise DataError(
            f"it must be known whether {series.name} in {series.unit!r} every {step / 3600:g} h is an amount, got "
            f"neither GRIB_stepType nor cell_methods in {opened.path}; give --option sums={series.name} or "
            f"means={series.name}"
        )
    ends = (is_sum or kind == "avg") and not series.is_bounded
    days = whole_days(series.seconds, series.calendar, opened.path, day_starts=day_starts, ends=ends)
    return DailySeries(series, days, is_sum)


def _may_be_amount(series: Series) -> bool:
    attributes = series.attributes
    quantity = quantity_of(series.pieces[0].opened.name, attributes.get("standard_name", ""), series.unit)
    unit = series.unit.casefold().replace(" ", "")
    return quantity is not None and quantity.name == "precipitation" and not unit.endswith(_RATES)
