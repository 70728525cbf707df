"""Means and sums of days, block by block."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from thalweg.errors import DataError
from trainables.geo_contrastive.data.layout import BLOCK_VALUES
from trainables.geo_contrastive.data.quantities import quantity_of
from trainables.geo_contrastive.importing.accumulation import Accumulation
from trainables.geo_contrastive.importing.series import Series
from trainables.geo_contrastive.importing.timeline import DAY, Days, usual_step, whole_days

_ENERGIES = ("jm-2", "jm**-2", "j/m2", "j/m^2", "jm^-2", "wm-2s", "wm**-2s")
_RATES = ("mmday-1", "mm/day", "mm/d", "mmd-1", "s-1", "s**-1", "/s")
_MAX_BLOCK = 2 * BLOCK_VALUES


@dataclass(frozen=True)
class DailySeries:
    """A variable by day.

    Attributes:
        series: Its fields.
        days: Its whole days.
        sums: Whether days are sums, not means.
        is_running: Whether the sums are there already, as the last of totals that run up over the day, or as that one
            alone.
    """

    series: Series
    days: Days
    sums: bool
    is_running: bool = False

    @property
    def how(self) -> str:
        """How days came about, for people."""
        if self.days.per_day == 1:
            return "daily totals of the day before their time" if self.is_running else "daily as it is"
        hours = self.days.step / 3600
        if self.is_running:
            return f"the last of {self.days.per_day} totals that run up over the day"
        if self.sums:
            place = "around" if self.days.is_centred else "before"
            place = "within its bounds" if self.series.is_bounded else f"{place} its time"
            return f"sums of {self.days.per_day} amounts, each over the {hours:g} h {place}"
        return f"means of {self.days.per_day} values, {hours:g} h apart"

    def blocks(self, numbers: Int64[np.ndarray, " day"]) -> Iterator[Float[np.ndarray, "day lon lat"]]:
        """Yields the fields of some of the days, which must ascend, in blocks.

        A day of which a cell lacks a value has none in that cell.

        Raises:
            DataError: Amounts are totals that run up over the day, or those that should be are not.
        """
        accumulation = Accumulation(self.days.per_day)
        starts = self.days.starts[np.searchsorted(self.days.numbers, numbers)]
        per_day, cells = self.days.per_day, int(np.prod(self.series.grid.shape))
        budget = int(np.clip(self.series.chunk * cells, BLOCK_VALUES, _MAX_BLOCK)) // cells
        max_days = max(budget // per_day, 1)
        first = 0
        while first < len(starts):
            breaks = np.flatnonzero(np.diff(starts[first : first + max_days]) != per_day)
            stop = first + (int(breaks[0]) + 1 if breaks.size else len(starts[first : first + max_days]))
            yield self._aggregated(int(starts[first]), stop - first, max(budget, 1), accumulation)
            self._check(accumulation)
            first = stop

    def _check(self, accumulation: Accumulation) -> None:
        """Refuses a kind of amount that the values, as far as they are known, contradict."""
        if not accumulation.is_known or not self.sums:
            return
        name, hours = self.series.name, f"{self.days.step / 3600:g} h"
        if self.is_running and not accumulation.is_running:
            raise DataError(
                f"running={name} must name totals that run up over each day, got amounts of {hours} each in "
                f"{self._where}; give --option sums={name}"
            )
        if accumulation.is_running and not (self.is_running and accumulation.restarts):
            span, way_out = (
                ("the day, as those of ERA5-Land,", f"give --option running={name}")
                if accumulation.restarts
                else ("several days", "write the differences between times into a file of their own")
            )
            law = "begin anew with each day" if self.is_running else f"be amounts of {hours} each"
            raise DataError(
                f"{name} must {law}, got totals that run up over {span} in {self._where}; {way_out}"
            )

    @property
    def _where(self) -> str:
        return str(self.series.pieces[0].opened.path)

    def _aggregated(
        self, start: int, num_days: int, budget: int, accumulation: Accumulation
    ) -> Float[np.ndarray, "day lon lat"]:
        per_day = self.days.per_day
        stop = start + num_days * per_day
        if per_day == 1:
            return self.series.read(start, stop)
        if num_days == 1:
            return self._day_in_parts(start, stop, budget, accumulation)[None]
        fields = self.series.read(start, stop)
        hours = fields.reshape(num_days, per_day, *fields.shape[1:])
        if self.sums:
            for day in hours:
                accumulation.update(day)
        if self.is_running:
            return hours[:, -1]
        days: Float[np.ndarray, "day lon lat"] = hours.sum(axis=1, dtype=np.float64)
        return days if self.sums else days / per_day

    def _day_in_parts(
        self, start: int, stop: int, budget: int, accumulation: Accumulation
    ) -> Float[np.ndarray, "lon lat"]:
        total: Float[np.ndarray, "lon lat"] = np.zeros(self.series.grid.shape)
        for low in range(start, stop, budget):
            fields = self.series.read(low, min(low + budget, stop))
            if self.sums:
                accumulation.update(fields)
            total = fields[-1] if self.is_running else total + fields.sum(axis=0, dtype=np.float64)
        return total if self.sums else total / self.days.per_day


def by_day(
    series: Series,
    day_starts: int,
    *,
    sums: Iterable[str] = (),
    means: Iterable[str] = (),
    running: Iterable[str] = (),
) -> DailySeries:
    """Finds the days of a series.

    Args:
        series: The series.
        day_starts: Hour at which a day begins.
        sums: Names of variables, in the source or in the data set, that are amounts before their times.
        means: Names of those that are not.
        running: Names of those that are totals which run up over the day.

    Raises:
        DataError: Times do not make up days, or it is not clear whether an amount is meant.
    """
    attributes, opened, names = series.attributes, series.pieces[0].opened, series.names
    kind = attributes.get("GRIB_stepType", "")
    methods = attributes.get("cell_methods", "").replace(" ", "")
    is_running = bool(names & set(running))
    told = is_running or bool(names & {*sums, *means})
    is_sum = (
        is_running or bool(names & set(sums)) or (not told and (kind == "accum" or "time:sum" in methods))
    )
    step = usual_step(series.seconds, opened.path)
    is_clear = told or is_sum or kind == "avg" or "time:mean" in methods
    if step < DAY and not is_clear and _may_be_amount(series):
        raise DataError(
            f"it must be known whether {series.name} in {series.unit!r} every {step / 3600:g} h is an amount, got "
            f"neither GRIB_stepType nor cell_methods in {opened.path}; give --option sums={series.name}, "
            f"means={series.name} or, if it runs up over the day as in ERA5-Land, running={series.name}"
        )
    ends = (is_sum or kind == "avg") and not series.is_bounded
    seconds = series.seconds - (is_running and step == DAY)  # a total of 00:00 is that of the day before
    days = whole_days(seconds, series.calendar, opened.path, day_starts=day_starts, ends=ends)
    return DailySeries(series, days, is_sum, is_running)


def _may_be_amount(series: Series) -> bool:
    attributes = series.attributes
    quantity = quantity_of(series.pieces[0].opened.name, attributes.get("standard_name", ""), series.unit)
    unit = series.unit.casefold().replace(" ", "")
    is_rain = quantity is not None and quantity.name == "precipitation"
    return unit in _ENERGIES or (is_rain and not unit.endswith(_RATES))
