"""Import of collections of catchments without grids: Caravan and CAMELS.

Weather comes as means over catchments. It is interpolated to a grid around the gauges, by inverse distance, as in the
import of Great Britain; what is interpolated is told. Streamflow stays a series.

Sources: Kratzert et al. (2023), doi:10.1038/s41597-023-01975-w; Addor et al. (2017), doi:10.5194/hess-21-5293-2017.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from thalweg.data.faults import Faults
from thalweg.data.opening import OpenFiles
from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted, some
from trainables.water_mae.data.layout import POSITIONS
from trainables.water_mae.importing.asked import Units, names, numbers_of, pairs, series_of
from trainables.water_mae.importing.composed import DataSet, Series, write
from trainables.water_mae.importing.gauges import (
    Column,
    dates_of,
    is_table,
    merged_attributes,
    read_columns,
)
from trainables.water_mae.importing.gridded import GaugeField, gauge_grid
from trainables.water_mae.importing.opened import sources, variables

_MAX_CELLS = 4_000_000


@dataclass(frozen=True)
class Collection:
    """The layout of a collection of catchments.

    Attributes:
        name: Its name for people.
        fields: Columns that may hold each quantity that becomes a field, the preferred one first.
        series: The same of series.
        units: Unit of columns that declare none.
        attributes: Attributes that a model sees, those that the tables have.
    """

    name: str
    fields: Mapping[str, tuple[str, ...]]
    series: Mapping[str, tuple[str, ...]]
    units: Mapping[str, str]
    attributes: tuple[str, ...]


CARAVAN = Collection(
    name="Caravan",
    fields={
        "precipitation": ("total_precipitation_sum",),
        "soil_moisture": ("volumetric_soil_water_layer_1_mean",),
        "temperature": ("temperature_2m_mean",),
    },
    series={"river_flow": ("streamflow",)},
    units={
        "total_precipitation_sum": "mm/day",
        "volumetric_soil_water_layer_1_mean": "m3/m3",
        "temperature_2m_mean": "degC",
        "streamflow": "mm/day",
        "snow_depth_water_equivalent_mean": "mm",
        "potential_evaporation_sum": "mm/day",
        "potential_evaporation_sum_era5_land": "mm/day",
        "potential_evaporation_sum_fao_penman_monteith": "mm/day",
    },
    attributes=(
        *("area", "ele_mt_sav", "slp_dg_sav", "p_mean", "aridity", "aridity_fao_pm", "frac_snow"),
        *("for_pc_sse", "crp_pc_sse", "cly_pc_sav", "snd_pc_sav"),
    ),
)
"""Caravan: ``attributes/SOURCE/*.csv`` and ``timeseries/{csv,netcdf}/SOURCE/GAUGE.{csv,nc}``, depths in mm/day."""
CAMELS = Collection(
    name="CAMELS",
    fields={
        "precipitation": (
            *("precipitation", "precipitation_mean", "precip", "prcp", "precipitation_cr2met"),
            *("precipitation_agcd", "precipitation_awap", "p", "prec"),
        ),
        "temperature": (
            *("temperature", "temperature_mean", "tavg", "tmean", "temp_mean", "temp", "t", "2m_temp_mean"),
            *("tmean_cr2met",),
        ),
    },
    series={
        "river_flow": (
            *("discharge_spec", "discharge_spec_obs", "streamflow_mmd", "streamflow_mm", "q_mm_day", "q_mm"),
            *("streamflow", "discharge_vol", "discharge_vol_obs", "streamflow_m3s", "qobs", "q", "q_m3s"),
        ),
    },
    units={
        **dict.fromkeys(("discharge_vol", "discharge_vol_obs", "streamflow_m3s", "q_m3s"), "m3/s"),
        **dict.fromkeys(("discharge_spec", "discharge_spec_obs", "streamflow_mmd"), "mm/day"),
        **dict.fromkeys(("streamflow_mm", "q_mm_day", "q_mm"), "mm/day"),
        **dict.fromkeys(("precipitation", "precipitation_mean", "precip", "prcp"), "mm/day"),
        **dict.fromkeys(("temperature", "temperature_mean", "tavg", "tmean", "temp_mean", "temp"), "degC"),
    },
    attributes=(
        *("area", "area_gages2", "catchment_area", "elev_mean", "slope_mean", "dpsbar", "p_mean", "pet_mean"),
        *("aridity", "frac_snow", "frac_forest", "forest_frac", "clay_perc", "sand_perc", "bfi"),
    ),
)
"""CAMELS in CSV: a file for each catchment, one table for all, or one table for each quantity."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may ask for, as text; `options.GAUGED` says what each means."""

    fields: str = ""
    series: str = ""
    attributes: str = ""
    units: str = ""
    declared: str = ""
    missing: str = ""
    area: str = ""
    catchments: str = ""
    cell: str = "0.1"
    reach: str = "3"
    train: str = ""
    val: str = ""
    test: str = "none"


def read(collection: Collection, source: Path, target: Path, **options: str) -> str:
    """Imports the folder `source` into the new folder `target`, which appears only when complete.

    Args:
        collection: The layout.
        source: A folder with tables of attributes, and series in tables or netCDF, anywhere below it.
        target: Folder of the data set.
        options: Those of `Options`.

    Returns:
        A report: grid, catchments, splits, extremes and units of each modality, what was interpolated, how to use it.

    Raises:
        ConfigError: An option cannot be read.
        DataError: Files are missing or broken, units cannot be converted, or values are implausible; all faults are
            reported at once.
        OutputError: `target` is not empty or cannot be written.
    """
    asked = Options(**options)
    size, within = _positive("cell", asked.cell), _positive("reach", asked.reach)
    table, columns = _read_files(collection, source, asked)
    fields, series = _wanted(collection, columns, asked)
    given = _units(collection, fields | series, asked)
    found = series_of(columns, fields | series, given, table, area=asked.area)
    positions = _positions(table.loc[list(found.ids)])
    land, interpolate = gauge_grid(positions, size, within, _MAX_CELLS)
    gridded = [
        GaugeField(name, found.days, found.values[name], found.converts[name], found.where, land, interpolate)
        for name in fields
    ]
    chosen = names(asked.attributes.casefold()) or tuple(
        name for name in collection.attributes if name in table and table[name].notna().any()
    )
    note = (
        f"{', '.join(fields)}: not observed on a grid but interpolated, by inverse distance, from the means over "
        f"{counted(len(found.ids), 'catchment')} to cells of {size:g} degrees within {within:g} cells of a gauge"
    )
    data = DataSet(gridded, _split(found, series), table, chosen, land, notes=[note], lenient=True)
    return write(data, target, train=asked.train, val=asked.val, test=asked.test)


def _read_files(
    collection: Collection, source: Path, asked: Options
) -> tuple[pd.DataFrame, dict[str, Column]]:
    """Returns the attributes of the catchments that are asked for, and the series of these."""
    gaps = numbers_of("missing", asked.missing)
    if not source.is_dir():
        raise DataError(
            f"the source of {collection.name} must be a folder, got none at {source}; pass its root"
        )
    tables = sorted(path for path in source.rglob("*") if path.is_file() and is_table(path))
    faults = Faults()
    with_dates = {path: faults.attempt(partial(dates_of, path)) for path in tables}
    table = faults.attempt(lambda: merged_attributes([each for each in tables if with_dates[each] is False]))
    faults.raise_if_any()
    assert table is not None
    table = _kept(table, asked.catchments)
    return table, _columns(source, [path for path in tables if with_dates[path]], table, gaps)


def _wanted(
    collection: Collection, columns: Mapping[str, Column], asked: Options
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the column of each field and of each series: those asked for, or else the usual ones."""
    fields, series = pairs("fields", asked.fields), pairs("series", asked.series)
    chosen = (
        fields or _present(collection.fields, columns, series),
        series or _present(collection.series, columns, fields),
    )
    _require_both(collection, *chosen, columns)
    return chosen


def _positive(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1000:
        raise ConfigError(f"{name} must be a positive number, got {text!r}; try 0.1")
    return value


def _kept(table: pd.DataFrame, catchments: str) -> pd.DataFrame:
    """Returns the rows of the catchments that are asked for, by identifiers or patterns such as ``camelsgb_*``."""
    if table.empty:
        raise DataError("the source must hold tables of attributes with gauge_id, got none; add them")
    if not catchments:
        return table
    ids = list(map(str, table.index))
    kept = [each for each in ids if any(fnmatch.fnmatchcase(each, pattern) for pattern in names(catchments))]
    if not kept:
        raise ConfigError(
            f"catchments must be identifiers of the source or patterns, got {catchments!r}; there are {some(ids)}"
        )
    return table.loc[kept]


def _columns(
    source: Path, paths: Sequence[Path], table: pd.DataFrame, gaps: Sequence[float]
) -> dict[str, Column]:
    known = frozenset(map(str, table.index))
    in_files = [path for path in sources(source) if path.stem in known]
    twins = {path.stem for path in in_files}  # Caravan holds each gauge in netCDF and again in CSV
    paths = [path for path in paths if path.stem not in twins]
    with OpenFiles() as files:  # read at once: series fit into memory
        columns = read_columns(paths, variables(in_files, files), known=known, others=False, missing=gaps)
    if not columns:
        raise DataError(
            f"{source} must hold daily series of the catchments of its attributes, got none for {some(sorted(known))}; "
            "add the folder timeseries"
        )
    return columns


def _present(
    candidates: Mapping[str, tuple[str, ...]], columns: Mapping[str, Column], elsewhere: Mapping[str, str]
) -> dict[str, str]:
    """Returns the first column that there is of each quantity, without those that are asked for elsewhere."""
    there = {name.casefold() for name in columns}
    found = {
        name: next((each for each in some_of if each in there), "") for name, some_of in candidates.items()
    }
    return {name: column for name, column in found.items() if column and name not in elsewhere}


def _require_both(
    collection: Collection,
    fields: Mapping[str, str],
    series: Mapping[str, str],
    columns: Mapping[str, Column],
) -> None:
    for option, kind, found in (("fields", collection.fields, fields), ("series", collection.series, series)):
        if not found:
            usual = some([each for some_of in kind.values() for each in some_of])
            raise DataError(
                f"{collection.name} must hold some of {usual}, got {some(columns, 12)}; name a column with --option "
                f"{option}=NAME=COLUMN"
            )
    if twice := sorted(set(fields) & set(series)):
        raise ConfigError(
            f"a quantity must be a field or a series, got {', '.join(twice)} as both; name one anew"
        )


def _units(collection: Collection, wanted: Mapping[str, str], asked: Options) -> Units:
    given = Units.of(asked.units, asked.declared)
    given.require_known(wanted)
    usual = {
        name: collection.units[column.casefold()]
        for name, column in wanted.items()
        if column.casefold() in collection.units
    }
    return Units(given.wanted, {**usual, **given.declared})


def _split(found: Series, series: Mapping[str, str]) -> Series:
    """Returns the quantities that stay series."""
    values = {name: found.values[name] for name in series}
    converts = {name: found.converts[name] for name in series}
    return Series(found.ids, found.days, values, converts, found.where)


def _positions(table: pd.DataFrame) -> Float64[np.ndarray, "gauge 2"]:
    named = {str(name).casefold(): name for name in table.columns}
    columns = [next((named[each] for each in POSITIONS[name] if each in named), None) for name in POSITIONS]
    if None in columns:
        raise DataError(
            "the positions of gauges must be in the attributes, as gauge_lon and gauge_lat in degrees, got "
            f"{some(map(str, table.columns), 12)}; add them"
        )
    positions = table[columns].to_numpy(np.float64)
    unknown = [str(each) for each in table.index[~np.isfinite(positions).all(axis=1)]]
    if unknown:
        raise DataError(
            f"the position of every gauge must be known, got none for {some(unknown)}; fill it in"
        )
    return positions
