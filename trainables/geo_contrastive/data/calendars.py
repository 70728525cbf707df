"""Days, years and seasons in the calendars of observations and climate models.

A day is a number: days since 1970-01-01 in its own calendar, so that consecutive days differ by 1 in each of them.

Source: CF conventions 1.11, 4.4.1 (calendar).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from thalweg.errors import DataError

Days = Int64[np.ndarray, " day"]

SEASONS = ("DJF", "MAM", "JJA", "SON")
"""In the order of their numbers."""

_EPOCH = 1970
_ALIASES = {
    "standard": "standard",
    "gregorian": "standard",
    "proleptic_gregorian": "standard",
    "noleap": "noleap",
    "365_day": "noleap",
    "all_leap": "all_leap",
    "366_day": "all_leap",
    "360_day": "360_day",
}
_MONTHS = {
    "noleap": np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
    "all_leap": np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
    "360_day": np.full(12, 30),
}
_FIRST_GREGORIAN = 1583  # the standard calendar is Julian before October 1582


@dataclass(frozen=True)
class Calendar:
    """A calendar by its CF name; `calendar_of` resolves aliases.

    Attributes:
        name: ``standard``, ``noleap``, ``all_leap`` or ``360_day``.
    """

    name: str

    def number(self, year: Days, month: Days, day: Days) -> Days:
        """Returns the numbers of dates.

        Raises:
            DataError: A date of the standard calendar lies before 1583.
        """
        if self.name == "standard":
            if len(year) and year.min() < _FIRST_GREGORIAN:
                raise DataError(
                    f"dates of the calendar standard must lie after {_FIRST_GREGORIAN - 1}, got the year {year.min()}; "
                    "leave out earlier days"
                )
            months = (12 * (year - _EPOCH) + month - 1).astype("datetime64[M]").astype("datetime64[D]")
            numbers: Days = months.astype(np.int64) + day - 1
            return numbers
        starts = self._starts
        numbers = (year - _EPOCH) * starts[-1] + starts[month - 1] + day - 1
        return numbers

    def dates(self, number: Days) -> tuple[Days, Days, Days]:
        """Returns year, month and day of the month of numbers."""
        if self.name == "standard":
            dates = number.astype("datetime64[D]")
            months = dates.astype("datetime64[M]")
            since = months.astype(np.int64)
            return since // 12 + _EPOCH, since % 12 + 1, (dates - months).astype(np.int64) + 1
        starts = self._starts
        years, rest = np.divmod(number, starts[-1])
        month = np.searchsorted(starts, rest, side="right").astype(np.int64)
        return years + _EPOCH, month, rest - starts[month - 1] + 1

    def year(self, number: Days) -> Days:
        """Returns the calendar year of days."""
        return self.dates(number)[0]

    def season(self, number: Days) -> Days:
        """Returns 0 in December to February, 1 in March to May, 2 in June to August, 3 in September to November."""
        season: Days = self.dates(number)[1] % 12 // 3
        return season

    def day_of_year(self, number: Days) -> Days:
        """Returns days since 1 January, 0 to 365."""
        year = self.year(number)
        ones = np.ones_like(year)
        since: Days = number - self.number(year, ones, ones)
        return since

    def text(self, number: int) -> str:
        """Returns a day as YYYY-MM-DD."""
        year, month, day = (int(part[0]) for part in self.dates(np.array([number], np.int64)))
        return f"{year:04d}-{month:02d}-{day:02d}"

    @property
    def _starts(self) -> Days:
        """Days before each month, and in a year."""
        starts: Days = np.concatenate([[0], np.cumsum(_MONTHS[self.name])]).astype(np.int64)
        return starts


def calendar_of(name: str, where: object) -> Calendar:
    """Returns the calendar of a CF name.

    Args:
        name: The name; case is ignored.
        where: What has it, for the message.

    Raises:
        DataError: The calendar is not supported.
    """
    known = _ALIASES.get(name.casefold())
    if known is None:
        raise DataError(
            f"the calendar of {where} must be one of {', '.join(_ALIASES)}, got {name!r}; convert the times"
        )
    return Calendar(known)
