"""Numbers of days in each calendar, beside those of cftime and numpy."""

import cftime
import numpy as np
import pytest

from thalweg.errors import DataError
from trainables.geo_contrastive.data.calendars import Calendar, calendar_of

CALENDARS = ("standard", "noleap", "all_leap", "360_day")
NUMBERS = np.concatenate([np.arange(-1500, 1500), np.arange(10_800, 12_400)])


@pytest.mark.parametrize("name", CALENDARS)
def test_numbers_are_those_of_cftime(name: str) -> None:
    calendar = Calendar(name)
    dates = cftime.num2date(NUMBERS, "days since 1970-01-01", calendar=name)
    expected = [np.array([getattr(date, part) for date in dates]) for part in ("year", "month", "day")]
    found = calendar.dates(NUMBERS)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(calendar.number(*found), NUMBERS)
    np.testing.assert_array_equal(calendar.day_of_year(NUMBERS), [date.dayofyr - 1 for date in dates])


@pytest.mark.parametrize("name", CALENDARS)
def test_consecutive_days_differ_by_one_over_the_end_of_february(name: str) -> None:
    calendar = Calendar(name)
    first = calendar.number(*(np.array([part]) for part in (2000, 2, 28)))[0]
    after = {
        "standard": "2000-02-29",
        "all_leap": "2000-02-29",
        "360_day": "2000-02-29",
        "noleap": "2000-03-01",
    }
    assert calendar.text(int(first)) == "2000-02-28"
    assert calendar.text(int(first) + 1) == after[name]


def test_seasons_begin_with_december() -> None:
    calendar = Calendar("standard")
    days = np.arange("2001-01", "2002-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int64)
    assert calendar.season(days).tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0]


def test_aliases_are_resolved_and_others_refused() -> None:
    assert calendar_of("Proleptic_Gregorian", "a.nc") == Calendar("standard")
    assert calendar_of("365_day", "a.nc") == Calendar("noleap")
    with pytest.raises(
        DataError, match=r"the calendar of a\.nc must be one of .*, got 'julian'; convert the times"
    ):
        calendar_of("julian", "a.nc")


def test_the_standard_calendar_is_refused_where_it_is_julian() -> None:
    with pytest.raises(DataError, match="must lie after 1582, got the year 1500"):
        Calendar("standard").number(*(np.array([part]) for part in (1500, 1, 1)))
