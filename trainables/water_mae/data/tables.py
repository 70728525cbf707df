"""Reads the tables of a data set in the formats of archives: attributes as CSV, daily series as parquet.

Unambiguous variants are accepted: encodings, separators, decimal commas, other names of the identifier, dates in
the usual forms. All other faults of a file are reported at once.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, Shaped

from thalweg.data.encoding import Encoding
from thalweg.data.faults import Faults
from thalweg.errors import DataError
from thalweg.wording import some
from trainables.water_mae.data.dates import Days, to_days
from trainables.water_mae.data.values import decode_series, series_encodings

_IDENTIFIERS = (
    *("id", "gauge_id", "station_id", "nrfa_id", "catchment_id", "station", "gauge"),
    *("basin_id", "basin", "catchment", "grdc_no", "govnr"),
)
_SEPARATORS = (",", ";", "\t")
_HEADER_BYTES = 65_536
_INDEX = "__index_level_0__"  # pandas' name of an index without one
_UNKNOWN = ("", "na", "nan", "none", "null")
_COMMA = r"[-+]?\d+,\d+"
_THOUSANDS = r"[-+]?[1-9]\d{0,2},\d{3}"

Ids = Shaped[np.ndarray, " row"]
"""Identifiers of catchments: whole numbers, or text such as ``camels_01013500``."""


@dataclass(frozen=True)
class SeriesTable:
    """Daily series in rows.

    Attributes:
        days: Day of each row, dtype datetime64[D].
        gauges: Catchment of each row.
        columns: Physical values by column, NaN if unknown.
    """

    days: Days
    gauges: Ids
    columns: dict[str, Float32[np.ndarray, " row"]]


def read_attributes(
    path: Path, columns: Sequence[str], alternatives: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """Reads a table of catchments.

    Args:
        path: A CSV file: UTF-8, UTF-16 or Latin-1; separated by commas, semicolons or tabs.
        columns: The columns to return.
        alternatives: Further columns that the table may lack: the names of each in tables, by the name to return.

    Returns:
        Float64 columns, NaN if unknown, indexed by ``id``.

    Raises:
        DataError: The file is no table, lacks a column, holds other things than numbers, or has a catchment twice; all
            faults at once.
    """
    text = _text(path)
    table = _rows(path, text, columns)
    faults = Faults()
    identifier = faults.attempt(lambda: _identifier(path, table))
    missing = [name for name in columns if name not in table.columns]
    if missing:
        faults.add(
            f"{path} must have the columns id, {', '.join(columns)}, got no {', '.join(missing)}; "
            f"its columns are {', '.join(map(str, table.columns))}"
        )
    ids = faults.attempt(lambda: identifiers(path, table[identifier])) if identifier is not None else None
    sources = {name: name for name in columns if name in table.columns}
    sources = _found(table, alternatives or {}) | sources
    found = {
        name: faults.attempt(partial(numbers, path, column, table[column]))
        for name, column in sources.items()
    }
    if ids is not None and (twice := sorted(set(ids[pd.Series(ids).duplicated()].tolist()))):
        faults.add(f"{path} must have one row per id, got several for {_some(twice)}; remove the duplicates")
    faults.raise_if_any()
    assert ids is not None
    return pd.DataFrame(found, index=pd.Index(ids, name="id"))


def _found(table: pd.DataFrame, alternatives: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns the column of each name that the table has under one of its alternatives."""
    named = {str(name).casefold(): str(name) for name in table.columns}
    found = {
        name: next((named[each.casefold()] for each in others if each.casefold() in named), "")
        for name, others in alternatives.items()
    }
    return {name: column for name, column in found.items() if column}


def numeric_columns(path: Path) -> list[str]:
    """Returns the names of the columns of an attribute table that hold numbers, without the identifier.

    Raises:
        DataError: The file is no table with an identifier.
    """
    table = _rows(path, _text(path), ())
    identifier, faults = _identifier(path, table), Faults()
    found = []
    for name in table.columns:
        values = (
            None if name == identifier else faults.attempt(partial(numbers, path, str(name), table[name]))
        )
        if values is not None and np.isfinite(values).any():
            found.append(str(name))
    return found


def series_columns(path: Path) -> list[str]:
    """Returns the names of the columns of numbers in a table of series.

    Raises:
        DataError: The file is no complete parquet file.
    """
    schema = read_schema(path)
    return [
        field.name
        for field in schema
        if field.name not in ("date", "ID", _INDEX)
        and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]


def read_series(path: Path, columns: Sequence[str], instead: dict[str, str] | None = None) -> SeriesTable:
    """Reads a table of daily series.

    Args:
        path: A parquet file with the columns ``date`` and ``ID``, also as its index.
        columns: The columns of numbers.
        instead: Name of the column that may replace another one, by the name of the latter.

    Raises:
        DataError: The file is no table, lacks a column, or holds other things than days, integers and numbers; all
            faults at once.
    """
    table = _parquet(path, {"date", "ID", *columns, *(instead or {}).values()})
    wanted = [_or(table, name, (instead or {}).get(name)) for name in columns]
    missing = [name for name in ("date", "ID", *wanted) if name not in table.columns]
    faults = Faults()
    if missing:
        faults.add(
            f"{path} must have the columns {', '.join(('date', 'ID', *columns))}, got no {', '.join(missing)}; "
            f"its columns are {', '.join(pq.read_schema(path).names)}"
        )
    if table.empty:
        faults.add(f"{path} must hold rows, got none; write the file again")
    faults.raise_if_any()
    days = faults.attempt(lambda: _days(path, table["date"]))
    gauges = faults.attempt(lambda: identifiers(path, table["ID"]))
    encodings = faults.attempt(lambda: series_encodings(path, pq.read_schema(path))) or {}
    values = {
        name: faults.attempt(partial(_physical, path, name, table[name], encodings.get(name)))
        for name in wanted
    }
    faults.raise_if_any()
    assert days is not None and gauges is not None
    return SeriesTable(days, gauges, {name: column for name, column in values.items() if column is not None})


def _or(table: pd.DataFrame, name: str, instead: str | None) -> str:
    return instead if instead is not None and name not in table and instead in table else name


def _text(path: Path, num_bytes: int = -1) -> str:
    """Decodes a file or its first bytes; Latin-1 is tried last, for it accepts any bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(num_bytes)
    except OSError as error:
        raise DataError(f"{path} must be a CSV table, got {error}; copy or write the file again") from None
    if not content.strip(b"\0\r\n\t\v\f \xff\xfe\xef\xbb\xbf"):
        raise DataError(f"{path} must be a CSV table, got an empty file; copy or write the file again")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif b"\0" in content[:2]:
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path} must be text, got bytes that are no {encodings[0]}; write it again as UTF-8")


def _rows(path: Path, text: str, columns: Sequence[str]) -> pd.DataFrame:
    """Returns the rows as text under the names in `columns`, with the separator that finds most of them."""
    names = {name.lower(): name for name in columns}
    separator, _ = _header(text, names)
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, skipinitialspace=True, index_col=False
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} must be a CSV table, got {error}; copy or write the file again") from None
    table.columns = pd.Index(
        [names.get(str(name).strip().lower(), str(name).strip()) for name in table.columns]
    )
    twice = sorted(set(table.columns[table.columns.duplicated()]))
    if twice:
        raise DataError(
            f"{path} must have each column once, got several {', '.join(twice)}; remove all but one"
        )
    return table


def _header(text: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """Returns the separator that finds most of some names in the first line, or most names, and this line."""
    line, wanted = next(iter(text.lstrip().splitlines()), ""), {*known, *_IDENTIFIERS}
    fields = {
        separator: [item.strip().lower() for item in next(csv.reader([line], delimiter=separator), [])]
        for separator in _SEPARATORS
    }
    separator = max(
        _SEPARATORS, key=lambda each: (sum(item in wanted for item in fields[each]), len(fields[each]))
    )
    return separator, fields[separator]


def header_of(path: Path) -> list[str]:
    """Returns the names of the columns of a CSV table in lower case, for which its first bytes suffice.

    Raises:
        DataError: The file is empty or cannot be read.
    """
    return _header(_text(path, _HEADER_BYTES), ())[1]


def text_rows(path: Path) -> pd.DataFrame:
    """Reads all rows of a CSV table as text, with names in lower case.

    Raises:
        DataError: The file is no table.
    """
    table = _rows(path, _text(path), ())
    return table.rename(columns={name: str(name).casefold() for name in table.columns})


def identifying(columns: Iterable[str]) -> str | None:
    """Returns which of some columns identifies catchments; None if none does."""
    named = {str(name).casefold(): str(name) for name in columns}
    return next((named[name] for name in _IDENTIFIERS if name in named), None)


def _identifier(path: Path, table: pd.DataFrame) -> str:
    found = identifying(table.columns)
    if found is None:
        raise DataError(
            f"{path} must have the column id, got {', '.join(map(str, table.columns))}; rename the column that "
            f"identifies the catchment to id ({', '.join(_IDENTIFIERS[1:])} are understood too)"
        )
    return found


def identifiers(path: Path, column: pd.Series) -> Ids:
    """Returns identifiers: whole numbers if all are and none has leading zeros, else text."""
    rows, names = pd.factorize(column, use_na_sentinel=False)  # of which there are few in many rows
    found = _identifiers(path, pd.Series(names, name=column.name))
    return found[rows]


def _identifiers(path: Path, column: pd.Series) -> Ids:
    found = pd.to_numeric(column, errors="coerce")
    whole = found.notna() & np.isfinite(found) & (found == found.round())
    text = None if pd.api.types.is_numeric_dtype(column.dtype) else _plain(column)
    if whole.all() and (text is None or not text.str.match("0[0-9]").any()):
        return found.to_numpy().astype(np.int64)
    unknown = ~whole if text is None or found.notna().all() else text.isna()
    if unknown.any():
        raise DataError(
            f"{column.name} in {path} must be whole numbers or text, got "
            f"{_some(column[unknown].drop_duplicates())}; name the catchments"
        )
    assert text is not None
    return text.to_numpy(dtype=str)


def numbers(path: Path, name: str, column: pd.Series) -> Float64[np.ndarray, " row"]:
    """Returns numbers; those written as text may have a decimal comma, if it cannot be a thousands separator."""
    if pd.api.types.is_bool_dtype(column.dtype):
        raise DataError(f"{name} in {path} must be numbers, got {column.dtype}; write the file again")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(np.float64, na_value=np.nan)
    text = _plain(column)
    commas = text.str.fullmatch(_COMMA, na=False)
    if commas.any() and (
        text.str.contains(".", regex=False, na=False).any() or text[commas].str.fullmatch(_THOUSANDS).all()
    ):
        raise DataError(
            f"{name} in {path} must be numbers, got {_some(column[commas].drop_duplicates())}, whose comma may be a "
            "decimal one or part thousands; write decimal points and no other separators"
        )
    numbers = pd.to_numeric(text.str.replace(",", ".", regex=False).where(commas, text), errors="coerce")
    unreadable = text.notna() & (numbers.isna() | np.isinf(numbers))
    if unreadable.any():
        raise DataError(
            f"{name} in {path} must be numbers, got {_some(column[unreadable].drop_duplicates())} in "
            f"{int(unreadable.sum())} rows; leave unknown fields empty"
        )
    return numbers.to_numpy(np.float64)


def _physical(
    path: Path, name: str, column: pd.Series, encoding: Encoding | None
) -> Float32[np.ndarray, " row"]:
    """Returns physical values, unpacked by the metadata of the file; text is not packed."""
    if encoding is not None and pd.api.types.is_numeric_dtype(column.dtype):
        return decode_series(column.to_numpy(na_value=np.nan), encoding)
    return numbers(path, name, column).astype(np.float32)


def _plain(column: pd.Series) -> pd.Series:
    """Returns text, with words for an unknown value made missing."""
    text = column.astype("str").str.strip()
    return text.where(column.notna() & ~text.str.lower().isin(_UNKNOWN))


def _days(path: Path, column: pd.Series) -> Days:
    try:
        return to_days(column)
    except ValueError as error:
        raise DataError(f"date in {path} {error}; write the file again") from None


def _parquet(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Reads the wanted columns of a parquet file; an index of dates without a name counts as ``date``."""
    names = read_schema(path).names
    try:
        table = pq.read_table(path, columns=[name for name in names if name in {*wanted, _INDEX}])
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} must be a complete parquet file, got {type(error).__name__}: {error}; "
            "copy or write the file again"
        ) from None
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True, date_as_object=False)
    return frame if "date" in frame else frame.rename(columns={_INDEX: "date"})


def read_schema(path: Path) -> pa.Schema:
    """Reads the names and types of the columns of a parquet file.

    Raises:
        DataError: It is no complete parquet file.
    """
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} must be a complete parquet file, got {type(error).__name__}: {error}; "
            "copy or write the file again"
        ) from None


def _some(values: Iterable[object]) -> str:
    shown = [str(value) if isinstance(value, int | np.integer) else repr(value) for value in values]
    return some(shown)
