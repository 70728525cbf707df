"""Times in any calendar, and the days that they make up."""

import numpy as np
import pytest
import xarray as xr

from thalweg.errors import DataError
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.importing.timeline import DAY, seconds_of, time_text, whole_days

STANDARD = Calendar("standard")


def decoded(values: object, units: str, calendar: str = "standard") -> tuple[Calendar, np.ndarray]:
    return seconds_of(xr.Variable("time", np.asarray(values), {"units": units, "calendar": calendar}), "a.nc")


def hours(first: str, count: int, step: int = 1) -> np.ndarray:
    start = np.datetime64(first, "s").astype(np.int64)
    return start + 3600 * step * np.arange(count)


def test_fractions_of_days_are_rounded_to_seconds() -> None:
    _, seconds = decoded(np.arange(1000) / 72, "days since 2001-01-01 00:00:00")  # 20 min
    np.testing.assert_array_equal(np.diff(seconds), 1200)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "all_leap"])
def test_calendars_of_models_have_days_of_their_own(calendar: str) -> None:
    found, seconds = decoded(np.arange(0, 4000 * 24, 6), "hours since 1999-01-01", calendar)
    np.testing.assert_array_equal(np.diff(seconds), 6 * 3600)
    assert found == Calendar(calendar)
    assert found.text(int(seconds[0]) // DAY) == "1999-01-01"
    length = {"noleap": 365, "all_leap": 366, "360_day": 360}[calendar]
    assert found.text(int(seconds[4 * length]) // DAY) == "2000-01-01"


def test_a_first_time_of_zero_is_not_missing_though_zarr_fills_with_zeros() -> None:
    units = {"units": "hours since 2001-01-01", "_FillValue": 0}
    _, seconds = seconds_of(xr.Variable("time", np.arange(3), units), "a.zarr")
    assert np.diff(seconds).tolist() == [3600, 3600]
    with pytest.raises(DataError, match="may be missing, got 1"):
        seconds_of(xr.Variable("time", np.array([0, -1]), units | {"_FillValue": -1}), "a.zarr")


def test_times_far_from_1970_are_decoded() -> None:
    _, seconds = decoded([0, 1], "days since 1600-01-01")
    assert time_text(STANDARD, int(seconds[1])) == "1600-01-02 00:00"


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.int16])
def test_narrow_numbers_hold_long_times(dtype: type) -> None:
    """ERA5 has hours since 1900 in 32 bits, of which seconds would run over."""
    first = 885_000 if dtype is np.int32 else 32_000
    unit = "hours" if dtype is np.int32 else "days"
    _, seconds = decoded(np.array([first, first + 1], dtype), f"{unit} since 1900-01-01")
    expected = np.datetime64("1900-01-01") + np.timedelta64(first, "h" if dtype is np.int32 else "D")
    assert time_text(STANDARD, int(seconds[0])) == str(expected.astype("datetime64[m]")).replace("T", " ")


@pytest.mark.parametrize(
    ("values", "units", "calendar", "message"),
    [
        ([0.0, np.nan], "days since 2001-01-01", "standard", "no time of a.nc may be missing, got 1"),
        ([0.0, 9.96921e36], "days since 2001-01-01", "standard", "no time of a.nc may be missing, got 1"),
        ([0, 1], "days", "standard", "seconds since a date, got the units 'days'"),
        (
            [0, 1],
            "fortnights since 2001-01-01",
            "standard",
            "seconds since a date, got the units 'fortnights since",
        ),
        ([0, 1], "days since 2001-01-01", "julian", "the calendar of a.nc must be one of"),
        ([0, 1], "days since yesterday", "standard", "must be decodable, got 'days since yesterday'"),
        ([0, 1], "days since 1200-01-01", "standard", "must be decodable, got 'days since 1200-01-01'"),
    ],
)
def test_times_that_mean_nothing_are_refused(values: object, units: str, calendar: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        decoded(values, units, calendar)


def test_hours_are_grouped_into_days_and_cut_ones_told() -> None:
    found = whole_days(hours("2001-01-01T06", 18 + 48 + 5), STANDARD, "a.nc")
    assert [STANDARD.text(int(day)) for day in found.numbers] == ["2001-01-02", "2001-01-03"]
    assert found.starts.tolist() == [18, 42] and found.per_day == 24
    assert found.notes == (
        "days left out as they are not whole: 2001-01-01 has 18 of 24 times; 2001-01-04 has 5 of 24 times",
    )


def test_amounts_belong_to_the_hours_before_their_time() -> None:
    found = whole_days(hours("2001-01-01T01", 48), STANDARD, "a.nc", ends=True)
    assert [STANDARD.text(int(day)) for day in found.numbers] == ["2001-01-01", "2001-01-02"]
    assert found.starts.tolist() == [0, 24] and not found.notes


def test_a_day_may_begin_at_another_hour() -> None:
    found = whole_days(hours("2001-01-01T00", 72), STANDARD, "a.nc", day_starts=9)
    assert [STANDARD.text(int(day)) for day in found.numbers] == ["2001-01-01", "2001-01-02"]
    assert found.starts.tolist() == [9, 33]


def test_gaps_are_told_by_name() -> None:
    days = np.delete(np.arange(40), [7, 8, 20]) * DAY
    found = whole_days(days, STANDARD, "a.nc")
    assert len(found.numbers) == 37
    assert found.notes == ("2 gaps of 3 days in all: 2 after 1970-01-07, 1 after 1970-01-20",)
    found = whole_days(np.delete(days, 7), STANDARD, "a.nc")
    assert found.notes[0].startswith("2 gaps of 4 days")
    found = whole_days(np.delete(np.arange(9), 3) * DAY, STANDARD, "a.nc")
    assert found.notes == ("1 gap of 1 day in all: 1 after 1970-01-03",)
    missing_hour = np.delete(hours("2001-01-01", 72), 30)
    found = whole_days(missing_hour, STANDARD, "a.nc")
    assert "2001-01-02 has 23 of 24 times" in found.notes[0] and "1 after 2001-01-01" in found.notes[1]
    assert found.starts.tolist() == [0, 47]


def test_times_of_other_steps_are_refused() -> None:
    with pytest.raises(DataError, match="got 30 days between most"):
        whole_days(30 * DAY * np.arange(5), STANDARD, "a.nc")
    with pytest.raises(DataError, match="got 5 hours between most"):
        whole_days(hours("2001-01-01", 40, 5), STANDARD, "a.nc")
    odd = hours("2001-01-01", 60)
    odd[20:] += 600
    with pytest.raises(DataError, match=r"60 minutes apart or a multiple of that, got 2001-01-01 20:10"):
        whole_days(odd, STANDARD, "a.nc")
    twice = np.append(DAY * np.arange(8), 7 * DAY + 3600)
    with pytest.raises(DataError, match="for most have one, got two of 1: 1970-01-08"):
        whole_days(twice, STANDARD, "a.nc")
    with pytest.raises(DataError, match="must have a day with all 24 times, got at most 20"):
        whole_days(hours("2001-01-01", 20), STANDARD, "a.nc")
