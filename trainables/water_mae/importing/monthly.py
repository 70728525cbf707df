"""Import of processed monthly archives: one HDF5 file per modality and month, one dataset per day.

An import may be repeated: it skips files that are up to date, and replaces others one by one.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.merging import Look, Merged, MissingDays, find_days, is_merged, merge
from thalweg.data.updating import replace_file, updated
from thalweg.errors import ConfigError, DataError
from trainables.water_mae.data import layout
from trainables.water_mae.data.catchments import arrange, rows_of, spelled_as
from trainables.water_mae.data.grids import read_mask
from trainables.water_mae.data.layout import SENTINEL, Period, column_of
from trainables.water_mae.data.tables import SeriesTable, read_attributes, read_series
from trainables.water_mae.data.values import (
    DISCHARGE,
    DISCHARGE_COLUMN,
    require_plausible_attributes,
    settled_series,
    survey_cells,
    values_note,
)
from trainables.water_mae.importing.options import MONTHLY_TRAIN, MONTHLY_VAL
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PLAUSIBLE, PUBLISHED_SET

_WORDS = {"precipitation": "precip", "soil_moisture": "soil", "temperature": "temp"}
_MASKS = ("*mask_*x*.npy", "*mask_*x*.pt")
_COLUMNS = tuple(map(column_of, PUBLISHED_SET.series))
_MM_PER_DAY = 86.4  # of 1 m3/s over 1 km2


def read(
    source: Path,
    target: Path,
    *,
    train: str = MONTHLY_TRAIN,
    val: str = MONTHLY_VAL,
    test: str = "none",
    missing_days: str = "refuse",
) -> str:
    """Merges the months below the folder `source` into the folder `target`; a new one appears only when complete.

    The folder holds anywhere below it HDF5 files whose path names their modality (``precip``, ``soil``, ``temp``), a
    land mask ``*mask_*x*`` of numpy or torch, ``Catchment_attributes_nrfa.csv``, and one parquet table with the
    columns ``date, ID, evaporation`` and ``riverflow`` in mm/day or ``discharge_vol`` in m3/s. Attributes of the CF
    conventions say how values are packed and which are missing, in the metadata of parquet columns as well.

    Args:
        source: The folder.
        target: Folder of the data set; an earlier import there is updated.
        train: First and last day of the training split.
        val: First and last day of the validation split.
        test: First and last day of the test split, or ``none``.
        missing_days: ``refuse`` or ``interpolate``.

    Returns:
        A report: days, files, gaps, extremes and missing share of each merged file, and which were up to date.

    Raises:
        ConfigError: An option cannot be parsed.
        DataError: A file is missing or damaged, days are missing, or values are out of bounds; reported for all
            modalities at once.
        OutputError: `target` has content that was not imported, or cannot be written.
    """
    if missing_days not in ("refuse", "interpolate"):
        raise ConfigError(f"missing_days must be refuse or interpolate, got {missing_days!r}; try refuse")
    periods = layout.parse_periods({"train": train, "val": val, "test": test}, MONTHLY_TRAIN)
    missing: MissingDays = "refuse" if missing_days == "refuse" else "interpolate"
    with updated(target, lambda folder: any(map(is_merged, folder.glob("*.h5")))) as folder:
        mask = _only(source, *_MASKS)
        land = read_mask(mask)
        merged: list[Merged] = []
        faults = Faults()
        tables = faults.attempt(lambda: _read_tables(source, periods))
        for name in PUBLISHED_SET.fields:
            with faults.collected():
                merged += _merge(source, folder, name, periods, missing, land)
        lines = [str(item) for item in merged]
        faults.raise_if_any()
        assert tables is not None
        lines += _write_tables(tables, folder)
        lines.append(_copy(mask, folder / mask.name))
        lines += _remove_others(folder, ("*.h5",), {item.path for item in merged})
        lines += _remove_others(folder, _MASKS, {folder / mask.name})
    return "\n".join(lines)


def _merge(
    source: Path,
    folder: Path,
    name: str,
    periods: Mapping[SplitName, Period],
    missing: MissingDays,
    land: Bool[np.ndarray, "row col"],
) -> list[Merged]:
    files = [
        path for path in sorted(source.rglob("*.h5")) if _WORDS[name] in str(path.relative_to(source)).lower()
    ]
    if not files:
        raise DataError(
            f"{source} must hold HDF5 files with {_WORDS[name]!r} in their path ({name}), got none; "
            "name the folder that holds those of all modalities"
        )
    days, faults = find_days(files), Faults()
    merged: list[Merged] = []
    for split, period in periods.items():
        target = folder / f"{name}_{split}_{period.years}.h5"
        like = next((item.extremes.unit for item in merged if item.extremes), "")
        survey = partial(survey_cells, PUBLISHED_SET[name], source, land, like=like)
        with faults.collected():
            merged.append(
                merge(
                    days,
                    period.dates,
                    target,
                    missing=missing,
                    sentinel=float(SENTINEL),
                    look=Look(survey, land),
                )
            )
    faults.raise_if_any()
    return merged


@dataclass(frozen=True)
class _Tables:
    """The checked tables of an archive: the files, the series in mm/day, and lines for the report."""

    attributes: Path
    series: Path
    rows: SeriesTable
    notes: str


def _read_tables(source: Path, periods: Mapping[SplitName, Period]) -> _Tables:
    """Reads series and attributes with the same checks as training, so that faults are found at the import."""
    faults = Faults()
    attributes = faults.attempt(lambda: _only(source, "Catchment_attributes_nrfa.csv"))
    series = faults.attempt(lambda: _only(source, "*.parquet"))
    faults.raise_if_any()
    assert attributes is not None and series is not None
    rows = faults.attempt(lambda: read_series(series, _COLUMNS, {"riverflow": DISCHARGE_COLUMN}))
    table = faults.attempt(lambda: read_attributes(attributes, NRFA_ATTRIBUTES))
    notes = ""
    if rows is not None:
        dates = np.concatenate([period.dates for period in periods.values()])
        arranged = faults.attempt(partial(arrange, series, rows, dates, PUBLISHED_SET))
        notes = f"; {values_note(arranged[2])}" if arranged else ""
        rows = replace(rows, columns=settled_series(series, rows.columns, PUBLISHED_SET))
    if table is not None:
        table = table if rows is None else spelled_as(table, np.unique(rows.gauges).tolist())
        used = table if rows is None else table[table.index.isin(np.unique(rows.gauges))]
        numbers = used.to_numpy(np.float64)
        ids = used.index.to_numpy()
        faults.attempt(lambda: require_plausible_attributes(attributes, NRFA_ATTRIBUTES, numbers, ids))
    if rows is not None and table is not None:
        if DISCHARGE_COLUMN in rows.columns:
            rows = faults.attempt(partial(_in_millimetres, rows, attributes, table["catchment-area"]))
            notes = f"; discharge in m3/s became mm/day by the catchment areas of {attributes.name}{notes}"
        else:
            faults.attempt(partial(rows_of, attributes, table, np.unique(rows.gauges)))
    faults.raise_if_any()
    assert rows is not None
    return _Tables(attributes, series, rows, notes)


def _write_tables(tables: _Tables, folder: Path) -> list[str]:
    rows = tables.rows
    years = f"{str(rows.days.min())[:4]}_{str(rows.days.max())[:4]}"
    num_catchments = len(np.unique(rows.gauges))
    target = folder / f"riverflow_evaporation_{num_catchments}catchments_{years}.parquet"
    table = pd.DataFrame({"date": rows.days.astype("datetime64[ms]"), "ID": rows.gauges} | rows.columns)
    written = replace_file(target, lambda new: table.to_parquet(new, compression="zstd", index=False))
    others = _remove_others(folder, ("riverflow_evaporation_*.parquet",), {target})
    copied = _copy(tables.attributes, folder / tables.attributes.name)
    return [copied, _state(target, written) + tables.notes, *others]


def _in_millimetres(rows: SeriesTable, path: Path, areas: pd.Series) -> SeriesTable:
    """Returns the rows with ``riverflow`` in mm/day instead of ``discharge_vol`` in m3/s."""
    area = areas.reindex(rows.gauges).to_numpy()
    unknown = np.unique(rows.gauges[~(area > 0)])
    if unknown.size:
        raise DataError(
            f"{path} must hold the catchment-area of every catchment whose flow is in m3/s, got none for "
            f"{', '.join(map(str, unknown[:5]))}; fill it in, or give a column riverflow in mm/day"
        )
    columns = {name: values for name, values in rows.columns.items() if name != DISCHARGE_COLUMN}
    discharge = rows.columns[DISCHARGE_COLUMN]
    flow = (discharge * (_MM_PER_DAY / area)).astype(np.float32)
    bound = PLAUSIBLE["river_flow"][0].high
    beyond = np.flatnonzero((flow > bound) & (discharge <= DISCHARGE.high))
    if beyond.size:
        row = beyond[0]
        raise DataError(
            f"{DISCHARGE_COLUMN} must be at most {bound:g} mm/day of its catchment, got {flow[row]:g} for "
            f"{rows.gauges[row]} on {rows.days[row]} from {discharge[row]:g} m3/s and a catchment-area of "
            f"{area[row]:g} km2 in {path}, and {beyond.size - 1} more; correct the area or the flow"
        )
    return replace(rows, columns=columns | {"riverflow": flow})


def _copy(source: Path, target: Path) -> str:
    return _state(target, replace_file(target, lambda new: shutil.copyfile(source, new)))


def _state(path: Path, written: bool) -> str:
    return f"{path.name}: {'written' if written else 'there already'}"


def _remove_others(folder: Path, patterns: tuple[str, ...], kept: set[Path]) -> list[str]:
    """Removes files of an earlier import of other periods, which are in their names; returns lines for the report."""
    found = {path for pattern in patterns for path in folder.glob(pattern)} - kept
    others = [path for path in sorted(found) if path.suffix != ".h5" or is_merged(path)]
    for path in others:
        path.unlink()
    return [f"{path.name}: removed, of an earlier import" for path in others]


def _only(source: Path, *patterns: str) -> Path:
    found = sorted(path for pattern in patterns for path in source.rglob(pattern))
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(source)) for path in found) or "none"
        raise DataError(
            f"{source} must hold one file {' or '.join(patterns)}, got {names}; copy or move files"
        )
    return found[0]
