"""Daily series and static attributes of the catchments: read, checked, filtered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.errors import DataError
from trainables.water_mae.layout import ATTRIBUTES, SENTINEL

_COLUMNS = ("date", "ID", "evaporation", "riverflow")


@dataclass(frozen=True)
class Catchments:
    """The kept catchments in the order of their ids.

    Attributes:
        ids: NRFA gauge numbers.
        values: Evaporation and river flow in mm/day, 0 where they are not known.
        known: True where a value is observed.
        present: False where no catchment has a modality on a day.
        static: Attributes, NaN where unknown.
    """

    ids: Int64[np.ndarray, " catchment"]
    values: Float32[np.ndarray, "day 2 catchment"]
    known: Bool[np.ndarray, "day 2 catchment"]
    present: Bool[np.ndarray, "day 2"]
    static: Float64[np.ndarray, "catchment attribute"]


def read_catchments(
    files: Mapping[str, Path],
    dates: Shaped[np.ndarray, " day"],
    spans: Mapping[SplitName, range],
    max_missing_ratio: float,
) -> Catchments:
    """Reads series and attributes, and keeps the catchments with few gaps.

    A catchment is kept where the share of missing days is at most `max_missing_ratio` in each split and
    modality, counting only days on which any catchment has the modality.

    Args:
        files: Paths by role, from `find_files`.
        dates: The days of all splits.
        spans: Positions of each split on the day axis.
        max_missing_ratio: Largest share of missing days.

    Raises:
        DataError: A table is broken, a catchment has no data at all, or no catchment is kept.
    """
    ids, values = _read_series(files["series"], dates)
    known = np.isfinite(values)
    _require_data(files["series"], ids, known)
    present = known.any(axis=2)
    keep = _few_gaps(known, present, spans, max_missing_ratio)
    if not keep.any():
        raise DataError(
            f"some catchment of {files['series']} must miss at most {max_missing_ratio:g} of its days, "
            f"got none of {len(ids)}; raise data.max_missing_ratio"
        )
    static = _read_attributes(files["attributes"], ids[keep])
    known = known[:, :, keep]
    values = np.where(known, values[:, :, keep], np.float32(0))
    return Catchments(ids=ids[keep], values=values, known=known, present=known.any(axis=2), static=static)


def _read_series(
    path: Path, dates: Shaped[np.ndarray, " day"]
) -> tuple[Int64[np.ndarray, " catchment"], Float32[np.ndarray, "day 2 catchment"]]:
    table = _read_table(path)
    day, gauge, *columns = (table[name].to_numpy(zero_copy_only=False) for name in _COLUMNS)
    if not np.issubdtype(gauge.dtype, np.integer):
        raise DataError(
            f"ID in {path} must be whole numbers without gaps, got {gauge.dtype}; write the file again"
        )
    for name, column in zip(_COLUMNS[2:], columns, strict=True):
        if not np.issubdtype(column.dtype, np.number):
            raise DataError(f"{name} in {path} must be numbers, got {column.dtype}; write the file again")
    position = _positions(path, day, dates)
    ids, member = np.unique(gauge.astype(np.int64), return_inverse=True)
    inside = position >= 0
    position, member = position[inside], member[inside]
    _require_rows(path, dates, ids, position * len(ids) + member)
    values = np.full((len(dates), 2, len(ids)), np.nan, np.float32)
    for modality, column in enumerate(columns):
        values[position, modality, member] = column[inside]
        _require_plausible(path, _COLUMNS[2 + modality], values[:, modality], dates, ids)
    return ids, values


def _read_table(path: Path) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            raise DataError(
                f"{path} must have the columns {', '.join(_COLUMNS)}, got no {', '.join(missing)}; "
                f"its columns are {', '.join(names)}"
            )
        return pq.read_table(path, columns=list(_COLUMNS))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} must be a complete parquet file, got {type(error).__name__}: {error}; "
            "copy or write the file again"
        ) from None


def _positions(
    path: Path, day: Shaped[np.ndarray, " row"], dates: Shaped[np.ndarray, " day"]
) -> Int64[np.ndarray, " row"]:
    """Returns where each row lies on the day axis, -1 for days of no split."""
    try:
        days = day.astype("datetime64[D]")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"date in {path} must be dates, got {day.dtype} ({error}); write the file again"
        ) from None
    found = np.minimum(np.searchsorted(dates, days), len(dates) - 1)
    return np.where(dates[found] == days, found, -1)


def _require_rows(
    path: Path,
    dates: Shaped[np.ndarray, " day"],
    ids: Int64[np.ndarray, " catchment"],
    rows: Int64[np.ndarray, " row"],
) -> None:
    """Every day of the splits has rows, and no catchment two of them."""
    times = np.bincount(rows, minlength=len(dates) * len(ids)).reshape(len(dates), len(ids))
    missing = np.flatnonzero(~times.any(axis=1))
    if missing.size:
        raise DataError(
            f"{path} must cover every day of the splits, got no rows on {missing.size} days, "
            f"first {dates[missing[0]]}; add them, or shorten the HDF5 files"
        )
    day, member = np.nonzero(times > 1)
    if day.size:
        raise DataError(
            f"{path} must have one row per date and ID, got {times[day[0], member[0]]} "
            f"for {dates[day[0]]} and {ids[member[0]]}; remove the duplicates"
        )


def _require_plausible(
    path: Path,
    name: str,
    values: Float32[np.ndarray, "day catchment"],
    dates: Shaped[np.ndarray, " day"],
    ids: Int64[np.ndarray, " catchment"],
) -> None:
    wrong = np.isinf(values) | (values == SENTINEL)
    if name == "riverflow":
        wrong |= values < 0
    if wrong.any():
        day, member = (index[0] for index in np.nonzero(wrong))
        law = "finite and not negative" if name == "riverflow" else "finite"
        raise DataError(
            f"{name} in {path} must be {law}, got {wrong.sum()} other values, first {values[day, member]:g} "
            f"on {dates[day]} at {ids[member]}; write NaN where it is unknown"
        )


def _require_data(
    path: Path, ids: Int64[np.ndarray, " catchment"], known: Bool[np.ndarray, "day 2 catchment"]
) -> None:
    for modality, name in enumerate(_COLUMNS[2:]):
        empty = ids[~known[:, modality].any(axis=0)]
        if empty.size:
            raise DataError(
                f"every catchment of {path} must have some {name} within the splits, got none for "
                f"{', '.join(map(str, empty[:5]))}{' ...' if empty.size > 5 else ''}; remove "
                f"{'it' if empty.size == 1 else f'these {empty.size} catchments'} from the file"
            )


def _few_gaps(
    known: Bool[np.ndarray, "day 2 catchment"],
    present: Bool[np.ndarray, "day 2"],
    spans: Mapping[SplitName, range],
    max_missing_ratio: float,
) -> Bool[np.ndarray, " catchment"]:
    keep = np.ones(known.shape[2], bool)
    for span in spans.values():
        days = slice(span.start, span.stop)
        num_present = present[days].sum(axis=0)[:, None]
        num_known = known[days].sum(axis=0)
        few = num_present - num_known <= max_missing_ratio * num_present
        keep &= (few & ((num_known > 0) | (num_present == 0))).all(axis=0)
    return keep


def _read_attributes(
    path: Path, ids: Int64[np.ndarray, " catchment"]
) -> Float64[np.ndarray, "catchment attribute"]:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must be a CSV table, got {error}; copy or write the file again") from None
    missing = [name for name in ("id", *ATTRIBUTES) if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} must have the columns id, {', '.join(ATTRIBUTES)}, got no {', '.join(missing)}"
        )
    twice = table["id"][table["id"].duplicated()]
    if not twice.empty:
        raise DataError(
            f"{path} must have one row per id, got several for {twice.iloc[0]}; remove the duplicates"
        )
    absent = np.setdiff1d(ids, table["id"].to_numpy())
    if absent.size:
        raise DataError(
            f"{path} must have a row for every catchment, got none for {', '.join(map(str, absent[:5]))}"
            f"{' ...' if absent.size > 5 else ''}; add the rows, with empty fields where nothing is known"
        )
    return _numbers(path, table.set_index("id").loc[ids, list(ATTRIBUTES)])


def _numbers(path: Path, table: pd.DataFrame) -> Float64[np.ndarray, "catchment attribute"]:
    for name in ATTRIBUTES:
        column = pd.to_numeric(table[name], errors="coerce")
        unreadable = table[name].notna() & column.isna()
        if unreadable.any() or np.isinf(column).any():
            value = table[name][unreadable].iloc[0] if unreadable.any() else "inf"
            raise DataError(f"{name} in {path} must be numbers, got {value!r}; leave unknown fields empty")
        if column.isna().all():
            raise DataError(
                f"{name} in {path} must be known for at least one kept catchment, got none; fill it in"
            )
        table = table.assign(**{name: column})
    return table.to_numpy(dtype=np.float64)
