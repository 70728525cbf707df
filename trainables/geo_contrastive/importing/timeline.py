"""Times of a source as seconds in their own calendar, and the days that they make up."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Int64, Shaped

from thalweg.errors import DataError
from thalweg.wording import counted, some
from trainables.geo_contrastive.data.calendars import Calendar, calendar_of

DAY = 86_400

Seconds = Int64[np.ndarray, " time"]

_SECONDS = {
    **dict.fromkeys(("day", "d"), DAY),
    **dict.fromkeys(("hour", "hr", "h"), 3600),
    **dict.fromkeys(("minute", "min"), 60),
    **dict.fromkeys(("second", "sec", ""), 1),
}
_FILL = 1e18  # seconds that no time has


def seconds_of(times: xr.Variable, where: object) -> tuple[Calendar, Seconds]:
    """Decodes a coordinate of times.

    Args:
        times: Its numbers as stored, with units and calendar.
        where: What has it, for messages.

    Returns:
        The calendar, and seconds since 1970-01-01 in it, rounded: fractions of days are not exact.

    Raises:
        DataError: The calendar or the units are not known, or a time is missing.
    """
    units = str(times.attrs.get("units", ""))
    calendar = calendar_of(str(times.attrs.get("calendar", "standard")), where)
    length, _, reference = units.partition(" since ")
    factor = _SECONDS.get(length.strip().casefold().removesuffix("s"))
    if factor is None or not reference:
        raise DataError(
            f"times of {where} must be in days, hours, minutes or seconds since a date, got the units {units!r}; "
            "correct them, such as by cdo -r copy OLD.nc NEW.nc"
        )
    counts = np.asarray(times.values).ravel()
    counts = counts.astype(
        np.float64 if counts.dtype.kind == "f" else np.int64
    )  # 32 bits do not hold seconds
    fill = times.attrs.get("_FillValue", 0) or np.nan  # 0 is Zarr's default, and the first time of many files
    if not counts.size:
        raise DataError(f"{where} must have times, got none; take a longer period, or move it away")
    missing = (
        ~(np.abs(counts) < _FILL / factor) if counts.dtype.kind == "f" else counts == fill
    )  # netCDF's own fill value is 1e37
    if missing.any():
        raise DataError(
            f"no time of {where} may be missing, got {int(missing.sum())} missing ones; remove them"
        )
    whole = xr.Variable(
        "time",
        np.rint(counts * factor).astype(np.int64),
        {"units": f"seconds since {reference}", "calendar": times.attrs.get("calendar", "standard")},
    )
    coder = xr.coders.CFDatetimeCoder(use_cftime=calendar.name != "standard", time_unit="s")
    try:
        decoded = coder.decode(whole).values
    except (ValueError, OverflowError):
        raise DataError(
            f"times of {where} must be decodable, got {units!r} in the calendar {calendar.name}; write the reference "
            "date as YYYY-MM-DD and after 1582, such as by cdo setreftime,1900-01-01,00:00:00 OLD.nc NEW.nc"
        ) from None
    return calendar, _counted(decoded, calendar)


def _counted(times: Shaped[np.ndarray, " time"], calendar: Calendar) -> Seconds:
    """Returns seconds since 1970-01-01 of times of numpy or of cftime."""
    if times.dtype.kind == "M":
        seconds: Seconds = times.astype("datetime64[s]").astype(np.int64)
        calendar.number(*calendar.dates(seconds[:1] // DAY))  # refuses what lies before the calendar's reform
        return seconds
    parts = np.array([(t.year, t.month, t.day, t.hour, t.minute, t.second) for t in times], np.int64).T
    seconds = calendar.number(parts[0], parts[1], parts[2]) * DAY
    seconds += 3600 * parts[3] + 60 * parts[4] + parts[5]
    return seconds


def time_text(calendar: Calendar, second: int) -> str:
    """Returns a time as YYYY-MM-DD HH:MM."""
    day, rest = divmod(second, DAY)
    return f"{calendar.text(day)} {rest // 3600:02d}:{rest % 3600 // 60:02d}"


@dataclass(frozen=True)
class Days:
    """The whole days that times make up.

    Attributes:
        numbers: The days, in the calendar's numbers.
        starts: Position of the first time of each day.
        per_day: Times of a day.
        step: Seconds between times.
        is_centred: Whether times of amounts stand in the middle of their intervals.
        notes: Sentences on what was left out and what is missing.
    """

    numbers: Int64[np.ndarray, " day"]
    starts: Int64[np.ndarray, " day"]
    per_day: int
    step: int
    notes: tuple[str, ...]
    is_centred: bool = False


def usual_step(seconds: Seconds, where: object) -> int:
    """Returns the most frequent distance of times in seconds.

    Raises:
        DataError: It is longer than a day, or does not divide one.
    """
    steps = Counter(np.diff(seconds).tolist())
    step = int(steps.most_common(1)[0][0]) if steps else DAY
    if step > DAY or DAY % step:
        size = f"{step / DAY:g} days" if step > DAY else f"{step / 3600:g} hours"
        raise DataError(
            f"times of {where} must be daily, or so many hours apart as divide a day, got {size} between most; "
            "take a source of daily, 6-hourly or hourly fields"
        )
    return step


def whole_days(
    seconds: Seconds, calendar: Calendar, where: object, *, day_starts: int = 0, ends: bool = False
) -> Days:
    """Groups times into days, and leaves out those that are not whole.

    Args:
        seconds: Ascending times without duplicates.
        calendar: Their calendar.
        where: What has them, for messages.
        day_starts: Hour at which a day begins; fields that are daily already keep the day of their times.
        ends: Whether a time stands at the end of its interval, as that of an accumulated amount does, unless all are
            half a step from the full hour, and so in the middle.

    Raises:
        DataError: Times are irregular within days, or there is no whole day.
    """
    step = usual_step(seconds, where)
    if step == DAY:
        numbers = seconds // DAY
        _require_each_day_once(numbers, calendar, where)
        return Days(numbers, np.arange(len(numbers)), 1, step, tuple(_gaps(numbers, calendar)))
    is_centred = ends and step % 7200 != 0 and bool((seconds % step == step // 2).all())
    since = seconds - 3600 * day_starts - (step if ends and not is_centred else 0)
    odd = np.flatnonzero((since - since[0]) % step)
    if odd.size:
        raise DataError(
            f"times of {where} must be {step // 60:,} minutes apart or a multiple of that, got "
            f"{time_text(calendar, int(seconds[odd[0]]))}; leave out others"
        )
    numbers, starts, counts = np.unique(since // DAY, return_index=True, return_counts=True)
    whole = counts == DAY // step
    if not whole.any():
        raise DataError(
            f"{where} must have a day with all {DAY // step} times, got at most {counts.max()}; take a longer period"
        )
    halves = [
        f"{calendar.text(int(numbers[position]))} has {counts[position]} of {DAY // step} times"
        for position in np.flatnonzero(~whole)
    ]
    notes = [f"days left out as they are not whole: {some(halves, separator='; ')}"] if halves else []
    kept = numbers[whole]
    return Days(kept, starts[whole], DAY // step, step, (*notes, *_gaps(kept, calendar)), is_centred)


def _require_each_day_once(numbers: Int64[np.ndarray, " day"], calendar: Calendar, where: object) -> None:
    double = np.flatnonzero(np.diff(numbers) == 0)
    if double.size:
        named = some(calendar.text(int(numbers[position])) for position in double)
        raise DataError(
            f"each day of {where} must have one time, for most have one, got two of {double.size:,}: {named}; "
            "remove one of each"
        )


def _gaps(numbers: Int64[np.ndarray, " day"], calendar: Calendar) -> list[str]:
    """Returns a sentence on days that are not there between others."""
    steps = np.diff(numbers)
    breaks = np.flatnonzero(steps > 1)
    if not breaks.size:
        return []
    num_days = int((steps[breaks] - 1).sum())
    named = [f"{steps[position] - 1:,} after {calendar.text(int(numbers[position]))}" for position in breaks]
    return [f"{counted(len(breaks), 'gap')} of {counted(num_days, 'day')} in all: {some(named)}"]
