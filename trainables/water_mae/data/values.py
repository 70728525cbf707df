"""Surveys the values of a data set: reports extremes and missing shares, refuses implausible values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.data.bounds import Bounds
from thalweg.data.encoding import Encoding
from thalweg.data.faults import Faults
from thalweg.data.hdf5 import DailyGrid, read_days
from thalweg.data.normalization import Moments
from thalweg.data.survey import Extremes, Survey
from thalweg.errors import DataError
from trainables.water_mae.data.grids import LandCheck
from trainables.water_mae.data.layout import PLAUSIBLE_ATTRIBUTES, series_in
from trainables.water_mae.data.transform import forward
from trainables.water_mae.knobs import Modality, ModalitySet

DISCHARGE_COLUMN = "discharge_vol"
"""Column of the table of series that may hold river flow in m3/s."""
DISCHARGE = Bounds("m3/s", 0, 500_000, ("m3 s-1", "cumecs"))
"""Plausible range of a discharge: the Amazon in flood has 300,000 m3/s."""


def survey_cells(
    row: Modality, path: Path, land: Bool[np.ndarray, "row col"], units: str, *, like: str = ""
) -> Survey:
    """Returns the survey for the land cells of one file.

    Args:
        row: The modality.
        path: The file.
        land: Land mask.
        units: Unit that the file declares, empty if there is none.
        like: Unit of the modality in the other files, empty if unknown.
    """
    rows, cols = np.nonzero(land)
    bounds = _in_own_unit(row, units, like)
    bounds = tuple(each for each in bounds if each.unit == like) or bounds
    return Survey(
        row.name,
        path,
        bounds,
        place=lambda number: f"in cell [{rows[number]}, {cols[number]}]",
        hint="other units are taken where the attribute units declares them",
        units=units,
    )


def _in_own_unit(row: Modality, units: str, like: str = "") -> tuple[Bounds, ...]:
    """Returns the bounds of a modality; without a unit in its row they are in that of its files."""
    bounds = row.bounds
    if bounds[0].unit or len(bounds) > 1:
        return bounds
    return (replace(bounds[0], unit=like or units),)


@dataclass
class Training:
    """Statistics of the training split.

    Attributes:
        moments: Mean and variance, transformed.
        days: Days since 1970-01-01 that they were computed from.
        unit: Unit of the values.
    """

    moments: Moments = field(default_factory=Moments)
    days: list[int] = field(default_factory=list)
    unit: str = ""


def survey_training(
    row: Modality, grids: Sequence[DailyGrid], land: Bool[np.ndarray, "row col"], *, refused: bool
) -> Training:
    """Returns the statistics of all land cells with data of the first file.

    Args:
        row: The modality.
        grids: Its files, the training split first; the others are surveyed only if that has faults.
        land: Land mask.
        refused: Whether land cells without data are refused.

    Raises:
        DataError: There are faults; those of all files are reported.
    """
    training, faults = Training(), Faults()
    for number, grid in enumerate(grids):
        if number and not faults:
            break
        survey = survey_cells(row, grid.path, land, grid.encoding.units, like=training.unit)
        with faults.collected():
            kept = Training() if number else training
            _look(row, grid, survey, np.flatnonzero(land), kept, refused=refused)
        training.unit = training.unit or survey.extremes.unit
    faults.raise_if_any()
    return training


def _look(
    row: Modality,
    grid: DailyGrid,
    survey: Survey,
    land: Int64[np.ndarray, " cell"],
    kept: Training,
    *,
    refused: bool,
) -> None:
    check, faults = LandCheck(grid), Faults()
    survey.allow(grid.encoding.precision)
    for first, days in read_days(grid):
        values = days.reshape(len(days), -1)[:, land]
        known = check.update(first, values)
        kept.moments.update(forward(row, values[known]))
        dates = grid.dates[first : first + len(days)]
        kept.days += dates.astype(np.int64).tolist()
        survey.update(values, known, dates)
    raise_found(check if refused else None, survey, faults)
    faults.raise_if_any()


def raise_found(check: LandCheck | None, survey: Survey, faults: Faults) -> None:
    """Adds the findings in a file to the faults."""
    if check is not None:
        with faults.collected():
            check.raise_if_any()
    with faults.collected():
        survey.raise_if_any()


def values_note(extremes: Mapping[str, Extremes]) -> str:
    """Returns one line with the extremes and missing shares of modalities."""
    return "; ".join(f"{name} {found}" for name, found in extremes.items())


def series_encodings(path: Path, schema: pa.Schema) -> dict[str, Encoding]:
    """Reads the encodings of a parquet file's columns of numbers from the metadata of fields or pandas' ``attrs``.

    Raises:
        DataError: An attribute is no number.
    """
    frame = (schema.pandas_metadata or {}).get("attributes") or {}
    found = {}
    for column in schema:
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            own = {name.decode(): value for name, value in (column.metadata or {}).items()}
            of_frame = frame.get(column.name)
            attributes = (of_frame if isinstance(of_frame, dict) else {}) | own
            found[column.name] = Encoding.of(
                attributes, column.type.to_pandas_dtype(), f"{column.name} in {path}"
            )
    return found


def decode_series(column: Shaped[np.ndarray, " row"], encoding: Encoding) -> Float32[np.ndarray, " row"]:
    """Returns a column in physical values; a column of integers with gaps arrives as floating-point numbers."""
    if column.dtype == encoding.dtype or column.dtype.kind in "iu":
        return encoding.decode(column)
    known = np.isfinite(column)
    stored = np.where(known, column, 0).astype(encoding.dtype)
    return np.where(known, encoding.decode(stored), np.float32(np.nan))


def survey_series(
    path: Path,
    values: Mapping[str, Float32[np.ndarray, "day catchment"]],
    dates: Shaped[np.ndarray, " day"],
    ids: Sequence[object] | Shaped[np.ndarray, " catchment"],
    modalities: ModalitySet,
    *,
    where: Path | None = None,
    way_out: str = "declare it as _FillValue in the metadata of the field",
) -> dict[str, Extremes]:
    """Surveys series, given by column with NaN for unknown values; returns their extremes by modality.

    Args:
        path: The table of series.
        values: Values by column.
        dates: The days.
        ids: Identifiers of the catchments.
        modalities: The modalities.
        where: Origin of the values, for messages; None is the table.
        way_out: How a value is marked as missing.

    Raises:
        DataError: Values are out of bounds; reported for all columns at once.
    """
    encodings = series_encodings(path, pq.read_schema(path))
    faults, found = Faults(), {}
    for column, of_column in values.items():
        survey = _series_survey(column, path, encodings, modalities, ids, way_out, where)
        with faults.collected():
            _require_unit(path, column, encodings, survey.bounds)
        survey.update(of_column, ~np.isnan(of_column), dates)
        with faults.collected():
            survey.raise_if_any()
        found[series_in(column)] = survey.extremes
    faults.raise_if_any()
    return found


def settled_series(
    path: Path, columns: Mapping[str, Float32[np.ndarray, " row"]], modalities: ModalitySet
) -> dict[str, Float32[np.ndarray, " row"]]:
    """Clips values that packing moved beyond the bounds: a flow just below 0 becomes 0."""
    encodings = series_encodings(path, pq.read_schema(path))
    surveys = {name: _series_survey(name, path, encodings, modalities) for name in columns}
    return {name: surveys[name].settled(column) for name, column in columns.items()}


def _series_survey(
    column: str,
    path: Path,
    encodings: Mapping[str, Encoding],
    modalities: ModalitySet,
    ids: Sequence[object] | Shaped[np.ndarray, " catchment"] = (),
    way_out: str = "",
    where: Path | None = None,
) -> Survey:
    declared = encodings[column].units if column in encodings else ""
    is_discharge = column == DISCHARGE_COLUMN
    bounds = (DISCHARGE,) if is_discharge else _in_own_unit(modalities[series_in(column)], declared)
    survey = Survey(
        column if where is None else series_in(column),  # files that were imported have columns of their own
        where or path,
        bounds,
        place=lambda number: f"at {ids[number]}",
        way_out=way_out,
        units=declared if len(bounds) > 1 else "",
    )
    if column in encodings:
        survey.allow(encodings[column].precision)
    return survey


def _require_unit(
    path: Path, column: str, encodings: Mapping[str, Encoding], choice: Sequence[Bounds]
) -> None:
    declared = encodings[column].units if column in encodings else ""
    if declared and not any(each.is_called(declared) for each in choice):
        cubic = series_in(column) == "river_flow" and DISCHARGE.is_called(declared)
        raise DataError(
            f"{column} in {path} must be in {' or '.join(each.unit for each in choice)}, got the declared unit "
            f"{declared!r}; "
            f"{f'name the column {DISCHARGE_COLUMN}' if cubic else 'convert it, or correct the metadata of the field'}"
        )


def require_plausible_attributes(
    path: Path,
    names: Sequence[str],
    static: Float64[np.ndarray, "catchment attribute"],
    ids: Shaped[np.ndarray, " catchment"],
) -> None:
    """Refuses implausible values of the known attributes.

    Raises:
        DataError: Some are; those of all columns are reported.
    """
    faults = Faults()
    for name, values in zip(names, static.T, strict=True):
        if name not in PLAUSIBLE_ATTRIBUTES:
            continue
        survey = Survey(
            name,
            path,
            (PLAUSIBLE_ATTRIBUTES[name],),
            place=lambda number: f"at {ids[number]}",
            way_out="leave the field empty",
        )
        survey.update(values[None], np.isfinite(values[None]), [""])
        with faults.collected():
            survey.raise_if_any()
    faults.raise_if_any()
