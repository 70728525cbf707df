"""Parses the dates of a table in the formats that archives use."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Shaped

Days = Shaped[np.ndarray, " row"]

_COMPACT = r"\d{8}"  # yyyymmdd
_ISO = r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?"
_SLASHED = r"\d{1,2}[/.]\d{1,2}[/.]\d{4}"
_LAW = "must be dates such as 1990-12-31"
NOON = 12
"""Hour after which a time may be midnight of the next day elsewhere."""


def to_days(values: pd.Series) -> Days:
    """Parses dates, text or numbers as days, dtype datetime64[D].

    A time with a zone gives the local day in that zone; one after noon is refused. Text may be yyyy-mm-dd, also with a
    time, yyyymmdd, and dd/mm/yyyy or mm/dd/yyyy, whichever of these two fits all rows.

    Args:
        values: The column.

    Raises:
        ValueError: Dates are missing, of no known form, or ambiguous. The message continues the name of the column.
    """
    if values.empty:
        raise ValueError(f"{_LAW}, got no row")
    if values.isna().any():
        raise ValueError(f"{_LAW}, got {int(values.isna().sum())} empty ones")
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _local_days(values)
    if pd.api.types.is_datetime64_dtype(values.dtype):
        _refuse_late(values, values)
        return values.to_numpy().astype("datetime64[D]")
    if pd.api.types.is_integer_dtype(values.dtype):
        return _parsed(values.astype(str), values.iloc[0])
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        raise ValueError(f"{_LAW}, got {values.dtype}")
    return _parsed(values.astype(str).str.strip(), values.iloc[0])


def _local_days(values: pd.Series) -> Days:
    local = values.dt.tz_localize(None)
    days: Days = local.to_numpy().astype("datetime64[D]")
    world = values.dt.tz_convert("UTC").dt.tz_localize(None)
    at_midnight = (local.dt.normalize() == local).all()
    if (
        not at_midnight
        and (world.dt.normalize() == world).all()
        and (world.to_numpy() > local.to_numpy()).any()
    ):
        raise ValueError(
            f"must be midnight in their time zone, got {values.iloc[0]}, which is midnight in UTC of another day"
        )
    _refuse_late(local, values)
    return days


def _refuse_late(local: pd.Series, values: pd.Series) -> None:
    """Refuses times that may be midnight of the next day in a zone further east, such as 21:00 UTC."""
    late = local - local.dt.normalize() > pd.Timedelta(hours=NOON)
    if late.any():
        raise ValueError(_late(values[late].iloc[0]))


def _refuse_late_text(text: pd.Series) -> None:
    """Refuses times after noon that are written behind dates; see `_refuse_late`."""
    found = text.str.extract(r"[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)", expand=False).dropna()
    hours = found.str.slice(0, 2).astype(int) + found.str.slice(3).str.contains("[1-9]")
    late = hours[hours > NOON]
    if len(late):
        raise ValueError(_late(text[late.index[0]]))


def _late(value: object) -> str:
    return f"must be days, or times until noon, got {value}, which may be midnight of the next day in another time zone"


def _parsed(text: pd.Series, first: object) -> Days:
    readings = list(_readings(text))
    fitting = [(name, days) for name, days in readings if not np.isnat(days).any()]
    if not fitting:
        raise ValueError(f"{_LAW}, got {_odd_one(text, readings)!r}")
    (name, days), *others = fitting
    if any((days != other).any() for _, other in others):
        raise ValueError(f"{_LAW}, got {first!r}, which can be read as {name} and as {others[0][0]}")
    return days


def _readings(text: pd.Series) -> Iterator[tuple[str, Days]]:
    """Yields each interpretation that fits the form of all rows, with NaT for rows that are no day in it."""
    if text.str.fullmatch(_COMPACT).all():
        yield "yyyymmdd", _to_days(text, "%Y%m%d")
    elif text.str.fullmatch(_ISO).all():
        _refuse_late_text(text)
        yield "yyyy-mm-dd", _to_days(text.str.extract(r"^(\d+-\d+-\d+)", expand=False), "%Y-%m-%d")
    elif text.str.fullmatch(_SLASHED).all():
        slashed = text.str.replace(".", "/", regex=False)
        yield "dd/mm/yyyy", _to_days(slashed, "%d/%m/%Y")
        yield "mm/dd/yyyy", _to_days(slashed, "%m/%d/%Y")


def _to_days(text: pd.Series, form: str) -> Days:
    return pd.to_datetime(text, format=form, errors="coerce").to_numpy().astype("datetime64[D]")


def _odd_one(text: pd.Series, readings: list[tuple[str, Days]]) -> str:
    """Returns the first row that is no valid day in the form of the others, or of another form."""
    if readings:
        no_day = np.all([np.isnat(days) for _, days in readings], axis=0)
        return str(text[no_day if no_day.any() else np.isnat(readings[0][1])].iloc[0])
    forms = [text.str.fullmatch(form) for form in (_COMPACT, _ISO, _SLASHED)]
    common = max(forms, key=lambda fits: int(fits.sum()))
    return str(text[~common].iloc[0])
