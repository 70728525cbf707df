"""Reads, checks and filters the daily series and static attributes of catchments."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.survey import Extremes
from thalweg.errors import DataError
from thalweg.wording import some
from trainables.water_mae.data.layout import POSITIONS, column_of
from trainables.water_mae.data.tables import SeriesTable, read_attributes, read_series
from trainables.water_mae.data.values import require_plausible_attributes, survey_series
from trainables.water_mae.knobs import ModalitySet

Ids = Shaped[np.ndarray, " catchment"]
"""Identifiers of catchments: whole numbers, or text such as ``camels_01013500``."""


@dataclass(frozen=True)
class Catchments:
    """The kept catchments in the order of their ids.

    Attributes:
        ids: Identifiers, numbers or text.
        values: The series in the unit of the data, 0 if unknown.
        known: True where a value is observed.
        present: False where no catchment has a modality on a day.
        static: Attributes, NaN if unknown.
        positions: Longitude and latitude in degrees, NaN if unknown.
        extremes: Extremes over all catchments, kept or not, by modality.
    """

    ids: Ids
    values: Float32[np.ndarray, "day series catchment"]
    known: Bool[np.ndarray, "day series catchment"]
    present: Bool[np.ndarray, "day series"]
    static: Float64[np.ndarray, "catchment attribute"]
    positions: Float64[np.ndarray, "catchment 2"]
    extremes: Mapping[str, Extremes]


def read_catchments(
    files: Mapping[str, Path],
    dates: Shaped[np.ndarray, " day"],
    spans: Mapping[SplitName, range],
    max_missing_ratio: float,
    modalities: ModalitySet,
    attributes: Sequence[str],
) -> Catchments:
    """Reads series and attributes, and keeps the catchments with few gaps.

    A catchment is kept if the share of missing days is at most `max_missing_ratio` in each split and
    modality, counting only days on which any catchment has the modality.

    Args:
        files: Paths by role, from `find_files`.
        dates: The days of all splits.
        spans: Positions of each split on the day axis.
        max_missing_ratio: Largest share of missing days.
        modalities: The modalities.
        attributes: Columns of the attribute table that are taken.

    Raises:
        DataError: A table is broken, a catchment has no data at all, or no catchment is kept.
    """
    faults = Faults()
    read = faults.attempt(lambda: read_values(files["series"], dates, modalities))
    table = faults.attempt(lambda: read_attributes(files["attributes"], attributes, POSITIONS))
    faults.raise_if_any()
    assert read is not None and table is not None
    ids, values, extremes = read
    known = np.isfinite(values)
    present: Bool[np.ndarray, "day series"] = np.any(known, axis=2)
    keep = _few_gaps(known, present, spans, max_missing_ratio)
    if not keep.any():
        raise DataError(
            f"some catchment of {files['series']} must miss at most {max_missing_ratio:g} of its days, "
            f"got none of {len(ids)}; raise data.max_missing_ratio"
        )
    if keep.sum() < 2:
        raise DataError(
            f"at least 2 catchments must be kept, some to be seen and some to be hidden, got {ids[keep][0]} alone of "
            f"{len(ids)} in {files['series']}; add catchments, or raise data.max_missing_ratio"
        )
    table = rows_of(files["attributes"], table, ids[keep])
    static = _static(files["attributes"], table, attributes)
    require_plausible_attributes(files["attributes"], attributes, static, ids[keep])
    known = known[:, :, keep]
    return Catchments(
        ids=ids[keep],
        values=np.where(known, values[:, :, keep], np.float32(0)),
        known=known,
        present=np.any(known, axis=2),
        static=static,
        positions=table.reindex(columns=list(POSITIONS)).to_numpy(np.float64),
        extremes=extremes,
    )


Arranged = tuple[Ids, Float32[np.ndarray, "day series catchment"], dict[str, Extremes]]
"""Identifiers, values and extremes by modality."""


def read_values(path: Path, dates: Shaped[np.ndarray, " day"], modalities: ModalitySet) -> Arranged:
    """Reads and arranges the series; NaN if unknown.

    Raises:
        DataError: As `arrange`, or the table is broken.
    """
    columns = [column_of(name) for name in modalities.series]
    ids, values, extremes = arrange(path, read_series(path, columns), dates, modalities)
    for number, name in enumerate(modalities.series):
        if modalities[name].transform == "log":  # packing may have moved a dry day below 0; NaN stays
            values[:, number] = np.maximum(values[:, number], 0)
    return ids, values, extremes


def arrange(
    path: Path, table: SeriesTable, dates: Shaped[np.ndarray, " day"], modalities: ModalitySet
) -> Arranged:
    """Pivots rows to day, column and catchment, in the order of the ids; NaN for missing rows.

    Args:
        path: File of the rows, for messages.
        table: The rows.
        dates: The days of all splits; rows of other days are left out.
        modalities: The modalities.

    Raises:
        DataError: A day has no row, or several of one catchment; values are implausible; or a catchment has no values.
            All faults are reported at once.
    """
    found = np.minimum(np.searchsorted(dates, table.days), len(dates) - 1)
    inside = dates[found] == table.days
    ids, member = np.unique(table.gauges, return_inverse=True)
    position, member = found[inside], member[inside]
    faults = Faults()
    faults.attempt(lambda: _require_rows(path, dates, ids, position * len(ids) + member))
    values = np.full((len(dates), len(table.columns), len(ids)), np.nan, np.float32)
    for number, column in enumerate(table.columns.values()):
        values[position, number, member] = column[inside]
    by_column = {name: values[:, number] for number, name in enumerate(table.columns)}
    extremes = faults.attempt(lambda: survey_series(path, by_column, dates, ids, modalities)) or {}
    faults.attempt(lambda: _require_data(path, ids, np.unique(member), by_column))
    faults.raise_if_any()
    return ids, values, extremes


def _require_rows(
    path: Path,
    dates: Shaped[np.ndarray, " day"],
    ids: Ids,
    rows: Int64[np.ndarray, " row"],
) -> None:
    """Checks that every day of the splits has rows, and no catchment has two on one day."""
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


def _require_data(
    path: Path,
    ids: Ids,
    there: Int64[np.ndarray, " there"],
    columns: Mapping[str, Float32[np.ndarray, "day catchment"]],
) -> None:
    """Checks that every catchment has each series, as far as any has rows: days without any are told elsewhere.

    Args:
        path: File of the rows, for messages.
        ids: Identifiers of all catchments.
        there: Positions of those with rows within the splits.
        columns: Values by column.

    Raises:
        DataError: Some lack rows, or a series; told once for each.
    """
    faults = Faults()
    rowless = np.setdiff1d(np.arange(len(ids)), there)
    lacking = {"rows": ids[rowless] if there.size else ids[:0]}
    lacking |= {
        f"some {name}": ids[there[~np.isfinite(values[:, there]).any(axis=0)]]
        for name, values in columns.items()
    }
    for what, empty in lacking.items():
        if empty.size:
            faults.add(
                f"every catchment of {path} must have {what} within the splits, got none for "
                f"{some(map(str, empty))}; remove "
                f"{'it' if empty.size == 1 else f'these {empty.size} catchments'} from the file"
            )
    faults.raise_if_any()


def _few_gaps(
    known: Bool[np.ndarray, "day series catchment"],
    present: Bool[np.ndarray, "day series"],
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


def rows_of(path: Path, attributes: pd.DataFrame, ids: Ids) -> pd.DataFrame:
    """Returns the row of attributes of each catchment; one of the two tables may lack leading zeros of identifiers.

    Raises:
        DataError: A catchment has none.
    """
    attributes = spelled_as(attributes, ids.tolist())
    absent = [name for name in ids.tolist() if name not in attributes.index]
    if absent:
        raise DataError(
            f"{path} must have a row for every catchment, got none for {some(map(str, absent))}; add the rows, with "
            "empty fields where nothing is known"
        )
    found: pd.DataFrame = attributes.loc[ids.tolist()]
    return found


def without_zeros(name: object) -> str:
    """Returns an identifier of digits alone without leading zeros, which spreadsheets lose, or any other as it is."""
    text = str(name)
    return text.lstrip("0") or "0" if text.isdigit() else text


def longest_spellings(names: Iterable[str]) -> dict[str, str]:
    """Returns for each of some identifiers the longest one that differs by leading zeros only, mostly itself."""
    every = sorted(set(names), key=len)
    longest = {without_zeros(name): name for name in every}
    return {name: longest[without_zeros(name)] for name in every}


def spelled_as(table: pd.DataFrame, ids: Collection[object]) -> pd.DataFrame:
    """Returns a table by catchment with its identifiers spelled as others are, as far as these tell its rows apart."""
    if set(ids) <= set(table.index):
        return table
    names = {without_zeros(name): name for name in ids}
    spelled = pd.Index(
        [names.get(without_zeros(name), name) for name in table.index], dtype=object, name=table.index.name
    )
    return table if spelled.has_duplicates else table.set_axis(spelled)


def _static(
    path: Path, attributes: pd.DataFrame, names: Sequence[str]
) -> Float64[np.ndarray, "catchment attribute"]:
    unknown = [name for name in names if attributes[name].isna().all()]
    if unknown:
        raise DataError(
            f"{', '.join(unknown)} in {path} must be known for at least one kept catchment, got none; fill it in"
        )
    return attributes[list(names)].to_numpy(dtype=np.float64)
