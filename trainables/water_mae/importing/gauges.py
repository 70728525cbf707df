"""Daily series and attributes of gauges, from tables (CSV, parquet), netCDF and Zarr.

A table with dates holds series: one row for each gauge and day; or the days of one gauge, which the name of the file
holds; or the days of one quantity, with a column for each gauge. A table without dates holds attributes, one row for
each gauge. A header such as ``discharge(m3/s)`` declares a unit.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from jaxtyping import Float32, Shaped

from thalweg.data.faults import Faults
from thalweg.errors import DataError
from thalweg.wording import some
from trainables.water_mae.data.catchments import longest_spellings, without_zeros
from trainables.water_mae.data.dates import to_days
from trainables.water_mae.data.tables import (
    header_of,
    identifiers,
    identifying,
    numbers,
    read_schema,
    text_rows,
)
from trainables.water_mae.importing.opened import Variable

_DATES = ("date", "time", "day", "datetime", "dates")
_UNIT = re.compile(r"([^(\[]+)[(\[]([^)\]]*)[)\]]")  # of a header such as discharge(m3/s)
_PARTS = (("year", "yr", "yyyy"), ("month", "mnth", "mm"), ("day", "dy", "dd"))


@dataclass
class Column:
    """A quantity of gauges as files hold it: pieces of days and gauges.

    Attributes:
        units: Units that the files declare.
        pieces: Days, identifiers and values (day, gauge) of each file.
        where: The first file.
    """

    where: Path
    units: set[str] = field(default_factory=set)
    pieces: list[tuple[np.ndarray, list[str], Float32[np.ndarray, "day gauge"]]] = field(default_factory=list)


def is_table(path: Path) -> bool:
    """Returns whether a file is named as a table; one named .txt must also have columns of gauges or days.

    Raises:
        DataError: Such a file cannot be read.
    """
    ending = path.suffix.casefold()
    if ending != ".txt":
        return ending in (".csv", ".tsv", ".parquet")
    names = _names(path) if path.stat().st_size else []
    return identifying(names) is not None or _date_columns(names) is not None


def tables_of(source: Path, faults: Faults) -> tuple[pd.DataFrame | None, list[Path]]:
    """Returns the attributes of all tables of a folder without dates, as `merged_attributes`, and those with dates.

    Args:
        source: The folder.
        faults: Takes the faults of tables; attributes are then None.
    """
    found = sorted(path for path in source.rglob("*") if path.is_file())
    tables = [path for path in found if faults.attempt(partial(is_table, path))]
    with_dates = {path: faults.attempt(partial(dates_of, path)) for path in tables}
    attributes = faults.attempt(
        lambda: merged_attributes([path for path in tables if with_dates[path] is False])
    )
    return attributes, [path for path in tables if with_dates[path]]


def read_columns(
    paths: Iterable[Path],
    found: Sequence[Variable],
    wanted: Sequence[str] = (),
    *,
    known: Collection[str] = (),
    others: bool = True,
    missing: Sequence[float] = (),
) -> dict[str, Column]:
    """Reads the series of all gauges.

    A table whose columns gauges name holds one quantity: that of its name. Without attributes it is one if all columns
    are called by digits, or if its name is that of a wanted quantity.

    Args:
        paths: Tables with dates.
        found: Variables of netCDF and Zarr.
        wanted: Columns of tables to read; empty reads all that hold numbers.
        known: Identifiers of gauges as text, those of attributes; leading zeros may be missing.
        others: Whether other gauges are read too.
        missing: Numbers that mean no data.

    Raises:
        DataError: Tables are broken; reported for all at once.
    """
    columns: dict[str, Column] = {}
    faults, known = Faults(), frozenset(map(without_zeros, known))
    for path in paths:
        with faults.collected():
            _read_table(path, wanted, columns, known, others=others)
    for each in found:
        if each.gauges is not None:
            with faults.collected():
                _take(each, columns, known, others=others)
    faults.raise_if_any()
    for column in columns.values() if missing else ():
        for _, _, values in column.pieces:
            values[np.isin(values, np.array(missing, np.float32))] = np.nan
    return columns


def _take(each: Variable, columns: dict[str, Column], known: Collection[str], *, others: bool) -> None:
    """Reads a series of a netCDF or Zarr."""
    assert each.gauges is not None
    gauges = list(map(str, each.gauges))
    places = [number for number, gauge in enumerate(gauges) if others or without_zeros(gauge) in known]
    if not places:
        return
    column = columns.setdefault(each.name, Column(each.path))
    column.units |= {each.encoding.units} - {""}
    values = each.read(slice(None))[:, places]
    column.pieces.append((each.days, [gauges[number] for number in places], values))


def dates_of(path: Path) -> bool:
    """Returns whether a table holds dates.

    Raises:
        DataError: It is no table.
    """
    return _date_columns(_names(path)) is not None


def _names(path: Path) -> list[str]:
    """Returns the names of the columns of a table in lower case."""
    if path.suffix != ".parquet":
        return header_of(path)
    return [str(name).casefold() for name in read_schema(path).names]


def _date_columns(names: Sequence[str]) -> list[str] | None:
    one = next((name for name in _DATES[:2] if name in names), None)
    if one:
        return [one]
    parts = [next((name for name in part if name in names), "") for part in _PARTS]
    if all(parts):
        return parts
    other = next((name for name in _DATES[2:] if name in names), None)
    return [other] if other else None


def _read_table(
    path: Path,
    wanted: Sequence[str],
    columns: dict[str, Column],
    known: Collection[str],
    *,
    others: bool,
) -> None:
    gauge = _gauge_of(path.stem, known)
    if gauge is None and not others and _is_of_one_gauge(path, known):
        return
    table, units = _table(path)
    dates = _date_columns(list(table.columns))
    assert dates is not None
    try:
        days = to_days(_dates(table, dates))
    except ValueError as error:
        raise DataError(f"{dates[0]} in {path} {error}; write the file again") from None
    identifier = identifying(table.columns)
    asked = [name.casefold() for name in wanted]
    others_than_days = [name for name in table.columns if name not in (*dates, identifier)]
    by_gauge = _columns_of_gauges(others_than_days, known)
    if not by_gauge and gauge is None and _is_wide(path, others_than_days, asked):
        by_gauge = {name: name for name in others_than_days}
    if identifier is None and by_gauge:
        _read_wide(path, table, days, by_gauge, columns)
        return
    if identifier is None and gauge is None and len(np.unique(days)) < len(days):
        raise DataError(
            f"{path} must have a column that identifies gauges, such as gauge_id, or each day once, got several rows "
            f"of {_repeated(days)} and the columns {some(table.columns)}; rename the column"
        )
    ids = (
        np.full(len(table), gauge or path.stem)
        if identifier is None
        else identifiers(path, table[identifier]).astype(str)
    )
    rows_of = {each: rows for each, rows in _by_gauge(ids) if others or without_zeros(each) in known}
    names = asked or [name for name in others_than_days if _is_numeric(table[name])]
    faults = Faults()
    for name in names:
        values = faults.attempt(partial(numbers, path, name, table[name])) if name in table else None
        if values is not None:
            column = columns.setdefault(name, Column(path))
            column.units |= {units[name]} if units.get(name) else set()
            column.pieces += [
                (days[rows], [each], values[rows, None].astype(np.float32)) for each, rows in rows_of.items()
            ]
    faults.raise_if_any()


def _repeated(days: Shaped[np.ndarray, " day"]) -> np.datetime64:
    """Returns the first of the days that are there twice."""
    found, counts = np.unique(days, return_counts=True)
    first: np.datetime64 = found[counts > 1][0]
    return first


def _is_wide(path: Path, names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Returns whether columns are called by gauges that no attributes tell: by digits, or in the file of a quantity."""
    is_asked = path.stem.casefold() in wanted and not set(names) & set(wanted)
    return is_asked or (bool(names) and all(map(str.isdigit, names)))


def _columns_of_gauges(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Returns the gauge of each column that is named like one; names are in lower case."""
    alike = {each.casefold(): each for each in known}
    found = {name: alike.get(without_zeros(name)) for name in names}
    return {name: name if name.isdigit() else gauge for name, gauge in found.items() if gauge is not None}


def _is_numeric(column: pd.Series) -> bool:
    """Returns whether a column holds numbers, maybe with faults, and not remarks."""
    known = column.dropna()
    return bool(len(known) == 0 or pd.to_numeric(known, errors="coerce").notna().mean() > 0.5)


def _read_wide(
    path: Path,
    table: pd.DataFrame,
    days: Shaped[np.ndarray, " day"],
    gauges: Mapping[str, str],
    columns: dict[str, Column],
) -> None:
    """Reads a table of one quantity, which its file names, with a column for each gauge."""
    column, faults = columns.setdefault(path.stem.casefold(), Column(path)), Faults()
    for name, gauge in gauges.items():
        values = faults.attempt(partial(numbers, path, name, table[name]))
        if values is not None:
            column.pieces.append((days, [gauge], values[:, None].astype(np.float32)))
    faults.raise_if_any()


def _gauge_of(stem: str, known: Collection[str]) -> str | None:
    """Returns the identifier that is a part of the name of a file, the longest of several."""
    if without_zeros(stem) in known:
        return stem
    parts = re.split(r"[_\-. ]", stem)
    spans = ("_".join(parts[a:b]) for a in range(len(parts)) for b in range(a + 1, len(parts) + 1))
    found = [each for each in spans if without_zeros(each) in known]
    return max(found, key=len, default=None)


def _is_of_one_gauge(path: Path, known: Collection[str]) -> bool:
    """Returns whether a table names no gauge in its header, so that its file does."""
    if path.suffix == ".parquet":
        return False
    named = _names(path)
    return identifying(named) is None and not _columns_of_gauges(named, known)


def _by_gauge(ids: Shaped[np.ndarray, " row"]) -> Iterable[tuple[str, np.ndarray]]:
    gauges, member = np.unique(ids, return_inverse=True)
    for number, gauge in enumerate(gauges.tolist()):
        yield gauge, np.flatnonzero(member == number)


def _table(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Reads a table with names in lower case, and the units that a parquet file declares."""
    if path.suffix != ".parquet":
        table = text_rows(path)
        declared = {name: _UNIT.fullmatch(name) for name in table.columns}
        matches = {name: match for name, match in declared.items() if match}
        renamed = table.rename(columns={name: match[1].strip() for name, match in matches.items()})
        return renamed, {match[1].strip(): match[2] for match in matches.values()}
    schema = read_schema(path)
    units = {
        each.name.casefold(): (each.metadata or {}).get(b"units", b"").decode("utf-8", "replace")
        for each in schema
    }
    frame = pq.read_table(path).to_pandas(date_as_object=False)
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return frame.rename(columns={name: str(name).casefold() for name in frame.columns}), units


def _dates(table: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    if len(names) == 1:
        return table[names[0]]
    year, month, day = (table[name].astype(str).str.strip() for name in names)
    return year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2)


def on_days(
    name: str, column: Column, days: Shaped[np.ndarray, " day"], ids: Sequence[str]
) -> Float32[np.ndarray, "_day gauge"]:
    """Returns a quantity on some days, NaN where no file has it.

    Raises:
        DataError: A gauge has several values on one day.
    """
    place = {gauge: number for number, gauge in enumerate(ids)}
    values = np.full((len(days), len(ids)), np.nan, np.float32)
    taken = np.zeros(values.shape, bool)
    for own, gauges, piece in column.pieces:
        at = np.minimum(np.searchsorted(days, own), len(days) - 1)
        inside = days[at] == own
        rows, known = at[inside], [number for number, gauge in enumerate(gauges) if gauge in place]
        where = np.ix_(rows, [place[gauges[number]] for number in known])
        twice = taken[where].any() or len(np.unique(rows)) < len(rows)
        if twice:
            raise DataError(
                f"{name} must have one value for each gauge and day, got several for {some(gauges)} in "
                f"{column.where}; take the duplicates away"
            )
        values[where] = piece[inside][:, known]
        taken[where] = True
    return values


def gauges_of(columns: Mapping[str, Column]) -> list[str]:
    """Returns the identifiers of all gauges as text, in order."""
    return sorted(
        {gauge for column in columns.values() for _, gauges, _ in column.pieces for gauge in gauges}
    )


def span_of(columns: Iterable[Column]) -> tuple[np.datetime64, np.datetime64] | None:
    """Returns the first and the last day that all quantities have; None if they have none in common."""
    spans = [
        (min(own.min() for own, _, _ in column.pieces), max(own.max() for own, _, _ in column.pieces))
        for column in columns
        if column.pieces
    ]
    if not spans:
        return None
    first, last = max(span[0] for span in spans), min(span[1] for span in spans)
    return (first, last) if first <= last else None


def merged_attributes(paths: Sequence[Path]) -> pd.DataFrame:
    """Returns all columns of numbers of tables with one row for each gauge, indexed by identifier as text.

    Raises:
        DataError: Tables are broken; reported for all at once.
    """
    faults, tables = Faults(), []
    for path in paths:
        with faults.collected():
            tables.append(_attributes(path))
    faults.raise_if_any()
    longest = longest_spellings(name for table in tables for name in table.index)
    merged = pd.DataFrame()
    for path, table in zip(paths, tables, strict=True):
        spelled = table.rename(index=longest)
        if spelled.index.has_duplicates:
            twice = sorted(table.index[spelled.index.duplicated(keep=False)])
            raise DataError(
                f"gauges of {path} must differ by more than leading zeros, got {some(twice)}; rename all but one"
            )
        merged = spelled.combine_first(merged) if len(merged) else spelled
    return merged


def spell_alike(attributes: pd.DataFrame, columns: Iterable[Column]) -> tuple[pd.DataFrame, list[str]]:
    """Gives each gauge one identifier in all files, the longest one: some files lack leading zeros.

    Args:
        attributes: Attributes by gauge.
        columns: The series; their pieces are renamed.

    Returns:
        The attributes, renamed, and a sentence if there was something to rename.
    """
    listed = list(columns)
    named = {gauge for column in listed for _, gauges, _ in column.pieces for gauge in gauges}
    longest = longest_spellings({*map(str, attributes.index), *named})
    for column in listed:
        column.pieces = [
            (days, [longest[gauge] for gauge in gauges], values) for days, gauges, values in column.pieces
        ]
    renamed = sorted(f"{name} to {spelled}" for name, spelled in longest.items() if spelled != name)
    notes = (
        [f"gauges that some files name without leading zeros were joined: {some(renamed)}"] if renamed else []
    )
    return attributes.rename(index=longest), notes


def _attributes(path: Path) -> pd.DataFrame:
    table, _ = _table(path)
    identifier = identifying(table.columns)
    if identifier is None:
        raise DataError(
            f"{path} must have a column that identifies gauges, such as gauge_id, got {some(table.columns)}; rename it"
        )
    ids = list(map(str, identifiers(path, table[identifier])))
    twice = sorted({each for each in ids if ids.count(each) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise DataError(f"{path} must have one row per gauge, got several for {some(twice)}; remove them")
    faults, found = Faults(), {}
    for name in table.columns:
        if name == identifier:
            continue
        values = faults.attempt(partial(numbers, path, name, table[name]))
        if values is not None and np.isfinite(values).any():  # text and empty columns are no attributes
            found[name] = values
    return pd.DataFrame(found, index=pd.Index(ids, name="id"))
