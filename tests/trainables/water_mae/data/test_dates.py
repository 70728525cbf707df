"""Dates as archives write them: read where one reading is possible, refused by name elsewhere."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.water_mae.data.dates import to_days

DAYS = np.arange("1999-12-01", "2001-02-01", dtype="datetime64[D]")
STAMPS = pd.Series(DAYS.astype("datetime64[ms]"))


@pytest.mark.parametrize(
    "column",
    [
        STAMPS,
        STAMPS.dt.strftime("%Y-%m-%d"),
        STAMPS.dt.strftime("%Y-%m-%d 00:00:00"),
        STAMPS.dt.strftime("%Y-%m-%dT00:00:00Z"),
        STAMPS.dt.strftime("%Y%m%d"),
        STAMPS.dt.strftime("%Y%m%d").astype(np.int32),
        STAMPS.dt.strftime("%d/%m/%Y"),
        STAMPS.dt.strftime("%m/%d/%Y"),
        STAMPS.dt.strftime("%d.%m.%Y"),
        STAMPS + pd.Timedelta(hours=9),
        STAMPS.dt.strftime("%Y-%m-%d 09:00"),
        STAMPS.dt.strftime("%Y-%m-%dT12:00:00Z"),
        STAMPS.dt.strftime("%Y-%m-%d") + pd.Series([" 06:30:00.5", "", " 00:00"] * 200)[: len(STAMPS)],
    ],
)
def test_the_usual_forms_are_read(column: pd.Series) -> None:
    days = to_days(column)
    assert days.dtype == np.dtype("datetime64[D]")
    np.testing.assert_array_equal(days, DAYS)


@pytest.mark.parametrize("time", [" 12:30", "T21:00:00", " 12:00:00.5"])
def test_text_with_a_time_after_noon_is_refused(time: str) -> None:
    column = STAMPS.dt.strftime("%Y-%m-%d")
    column.iloc[7] += time
    with pytest.raises(ValueError, match=rf"got 1999-12-08{time}, which may be midnight of the next day"):
        to_days(column)


@given(st.sampled_from(["+03:00", "-08:00", "Europe/London", "America/New_York", "Australia/Sydney", "UTC"]))
def test_a_zone_gives_the_day_that_its_clock_shows(zone: str) -> None:
    np.testing.assert_array_equal(to_days(STAMPS.dt.tz_localize(zone)), DAYS)
    observed_at_nine = (STAMPS + pd.Timedelta(hours=9)).dt.tz_localize(zone)
    np.testing.assert_array_equal(to_days(observed_at_nine), DAYS)


def test_days_of_utc_keep_their_date_east_of_it_and_are_refused_west_of_it() -> None:
    world = STAMPS.dt.tz_localize("UTC")
    np.testing.assert_array_equal(to_days(world.dt.tz_convert("Europe/London")), DAYS)
    with pytest.raises(
        ValueError, match=r"got 1999-11-30 16:00:00-08:00, which is midnight in UTC of another"
    ):
        to_days(world.dt.tz_convert("America/Los_Angeles"))


@pytest.mark.parametrize("zone", ["+03:00", "Europe/Berlin", "Europe/London", "Australia/Sydney"])
def test_midnights_that_became_times_of_utc_are_refused(zone: str) -> None:
    world = STAMPS.dt.tz_localize(zone).dt.tz_convert("UTC")
    for column in (world, world.dt.tz_localize(None)):
        with pytest.raises(ValueError, match=r"got .*, which may be midnight of the next day in another"):
            to_days(column)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pd.Series(["01/02/2001", "03/02/2001"]),
            "'01/02/2001', which can be read as dd/mm/yyyy and as mm/dd/",
        ),
        (pd.Series(["2001-02-01", "2001-02-30"]), "got '2001-02-30'"),
        (pd.Series(["2001-02-01", "spring"]), "got 'spring'"),
        (pd.Series([20010201, 20011301]), "got '20011301'"),
        (pd.Series(["31/01/2001", "01/31/2001"]), "got '01/31/2001'"),
        (pd.Series([11354, 11355]), "got '11354'"),
        (pd.Series([11354.0, 11355.0]), "got float64"),
        (pd.Series(["2001-02-01", None]), "got 1 empty"),
        (pd.Series([], dtype=object), "got no row"),
    ],
)
def test_what_is_no_day_or_two_days_is_named(column: pd.Series, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_days(column)


@given(st.lists(st.dates(min_value=pd.Timestamp("1800-01-01").date()), min_size=1, max_size=9))
def test_slashed_dates_are_read_as_written_or_refused(days: list[object]) -> None:
    expected = np.array(days, "datetime64[D]")
    for form, other in (("%d/%m/%Y", "%m/%d/%Y"), ("%m/%d/%Y", "%d/%m/%Y")):
        text = pd.Series([day.strftime(form) for day in days])  # type: ignore[attr-defined]
        swapped = pd.to_datetime(text, format=other, errors="coerce")
        ambiguous = swapped.notna().all() and (swapped.to_numpy().astype("datetime64[D]") != expected).any()
        if ambiguous:
            with pytest.raises(ValueError, match="can be read as"):
                to_days(text)
        else:
            np.testing.assert_array_equal(to_days(text), expected)
