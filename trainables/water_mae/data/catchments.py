"""Reads, checks and filters the daily series and static attributes of catchments."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.survey import Extremes
from thalweg.errors import DataError
from trainables.water_mae.data.layout import ATTRIBUTES
from trainables.water_mae.data.tables import SeriesTable, read_attributes, read_series
from trainables.water_mae.data.values import require_plausible_attributes, survey_series

COLUMNS = ("evaporation", "riverflow")
"""The daily series, in the order in which the model sees them; both in mm/day."""


@dataclass(frozen=True)
class Catchments:
    """The kept catchments in the order of their ids.

    Attributes:
        ids: NRFA gauge numbers.
        values: Evaporation and river flow in mm/day, 0 if unknown.
        known: True where a value is observed.
        present: False where no catchment has a modality on a day.
        static: Attributes, NaN if unknown.
        extremes: Extremes over all catchments, kept or not, by modality.
    """

    ids: Int64[np.ndarray, " catchment"]
    values: Float32[np.ndarray, "day 2 catchment"]
    known: Bool[np.ndarray, "day 2 catchment"]
    present: Bool[np.ndarray, "day 2"]
    static: Float64[np.ndarray, "catchment attribute"]
    extremes: Mapping[str, Extremes]


def read_catchments(
    files: Mapping[str, Path],
    dates: Shaped[np.ndarray, " day"],
    spans: Mapping[SplitName, range],
    max_missing_ratio: float,
) -> Catchments:
    """Reads series and attributes, and keeps the catchments with few gaps.

    A catchment is kept if the share of missing days is at most `max_missing_ratio` in each split and
    modality, counting only days on which any catchment has the modality.

    Args:
        files: Paths by role, from `find_files`.
        dates: The days of all splits.
        spans: Positions of each split on the day axis.
        max_missing_ratio: Largest share of missing days.

    Raises:
        DataError: A table is broken, a catchment has no data at all, or no catchment is kept.
    """
    faults = Faults()
    read = faults.attempt(lambda: arrange(files["series"], read_series(files["series"], COLUMNS), dates))
    attributes = faults.attempt(lambda: read_attributes(files["attributes"], ATTRIBUTES))
    faults.raise_if_any()
    assert read is not None and attributes is not None
    ids, values, extremes = read
    values[:, 1] = np.maximum(values[:, 1], 0)  # packing may have moved a dry day below 0
    known = np.isfinite(values)
    present = known.any(axis=2)
    keep = _few_gaps(known, present, spans, max_missing_ratio)
    if not keep.any():
        raise DataError(
            f"some catchment of {files['series']} must miss at most {max_missing_ratio:g} of its days, "
            f"got none of {len(ids)}; raise data.max_missing_ratio"
        )
    require_rows(files["attributes"], attributes, ids[keep])
    static = _static(files["attributes"], attributes.loc[ids[keep]])
    require_plausible_attributes(files["attributes"], static, ids[keep])
    known = known[:, :, keep]
    return Catchments(
        ids=ids[keep],
        values=np.where(known, values[:, :, keep], np.float32(0)),
        known=known,
        present=known.any(axis=2),
        static=static,
        extremes=extremes,
    )


def arrange(
    path: Path, table: SeriesTable, dates: Shaped[np.ndarray, " day"]
) -> tuple[Int64[np.ndarray, " catchment"], Float32[np.ndarray, "day 2 catchment"], dict[str, Extremes]]:
    """Pivots rows to day, column and catchment, in the order of the ids; NaN for missing rows.

    Args:
        path: File of the rows, for messages.
        table: The rows.
        dates: The days of all splits; rows of other days are left out.

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
    extremes = faults.attempt(lambda: survey_series(path, by_column, dates, ids)) or {}
    faults.attempt(lambda: _require_data(path, ids, by_column))
    faults.raise_if_any()
    return ids, values, extremes


def _require_rows(
    path: Path,
    dates: Shaped[np.ndarray, " day"],
    ids: Int64[np.ndarray, " catchment"],
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
    ids: Int64[np.ndarray, " catchment"],
    columns: Mapping[str, Float32[np.ndarray, "day catchment"]],
) -> None:
    for name, values in columns.items():
        empty = ids[~np.isfinite(values).any(axis=0)]
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


def require_rows(path: Path, attributes: pd.DataFrame, ids: Int64[np.ndarray, " catchment"]) -> None:
    """Checks that each catchment has a row of attributes.

    Raises:
        DataError: A catchment has none.
    """
    absent = np.setdiff1d(ids, attributes.index.to_numpy())
    if absent.size:
        raise DataError(
            f"{path} must have a row for every catchment, got none for {', '.join(map(str, absent[:5]))}"
            f"{' ...' if absent.size > 5 else ''}; add the rows, with empty fields where nothing is known"
        )


def _static(path: Path, attributes: pd.DataFrame) -> Float64[np.ndarray, "catchment attribute"]:
    unknown = [name for name in ATTRIBUTES if attributes[name].isna().all()]
    if unknown:
        raise DataError(
            f"{', '.join(unknown)} in {path} must be known for at least one kept catchment, got none; fill it in"
        )
    return attributes[list(ATTRIBUTES)].to_numpy(dtype=np.float64)
