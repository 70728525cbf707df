"""Import of collections of catchments without grids: Caravan and CAMELS.

Weather comes as means over catchments. It is interpolated to a grid around the gauges, by inverse distance, as in the
import of Great Britain; what is interpolated is told. Streamflow stays a series.

Sources: Kratzert et al. (2023), doi:10.1038/s41597-023-01975-w; Addor et al. (2017), doi:10.5194/hess-21-5293-2017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from thalweg.data.faults import Faults
from thalweg.data.opening import OpenFiles
from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted, some
from trainables.water_mae.data.layout import POSITIONS
from trainables.water_mae.importing.asked import (
    Asked,
    Units,
    chosen_attributes,
    kept,
    numbers_of,
    pairs,
    series_of,
)
from trainables.water_mae.importing.composed import DataSet, Series, write
from trainables.water_mae.importing.gauges import Column, read_columns, spell_alike, tables_of
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
class Options(Asked):
    """What a user may ask for: a grid, too."""

    cell: str = "0.1"
    reach: str = "3"


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
    table, columns, notes = _read_files(collection, source, asked)
    fields, series = _wanted(collection, columns, asked)
    given = _units(collection, fields | series, asked)
    found = series_of(columns, fields | series, given, table, area=asked.area)
    data = DataSet(
        [], _split(found, series), table, _attributes(collection, table, asked), notes=notes, lenient=True
    )
    if fields:
        data = _with_fields(data, found, fields, size, within)
    return write(data, target, **asked.splits)


def _attributes(collection: Collection, table: pd.DataFrame, asked: Options) -> tuple[str, ...]:
    chosen = chosen_attributes(asked.attributes)
    if chosen is None:
        chosen = tuple(name for name in collection.attributes if name in table and table[name].notna().any())
    return chosen


def _with_fields(
    data: DataSet, found: Series, names: Mapping[str, str], size: float, within: float
) -> DataSet:
    """Returns the data set with some of the series interpolated to a grid, which a note tells."""
    positions = _positions(data.attributes.loc[list(found.ids)])
    land, interpolate = gauge_grid(positions, size, within, _MAX_CELLS)
    fields = [
        GaugeField(name, found.days, found.values[name], found.converts[name], found.where, land, interpolate)
        for name in names
    ]
    note = (
        f"{', '.join(names)}: not observed on a grid but interpolated, by inverse distance, from the means over "
        f"{counted(len(found.ids), 'catchment')} to cells of {size:g} degrees within {within:g} cells of a gauge"
    )
    return replace(data, fields=fields, land=land, notes=[*data.notes, note])


def _read_files(
    collection: Collection, source: Path, asked: Options
) -> tuple[pd.DataFrame, dict[str, Column], list[str]]:
    """Returns the attributes of the catchments that are asked for, the series of these, and notes."""
    gaps = numbers_of("missing", asked.missing)
    if not source.is_dir():
        raise DataError(
            f"the source of {collection.name} must be a folder, got none at {source}; pass its root"
        )
    faults = Faults()
    table, tables = tables_of(source, faults)
    faults.raise_if_any()
    assert table is not None
    if table.empty:
        raise DataError("the source must hold tables of attributes with gauge_id, got none; add them")
    ids = list(map(str, table.index))
    wanted = kept(ids, asked.catchments)
    columns = _columns(source, tables, frozenset(wanted), frozenset(ids), gaps)
    table, notes = spell_alike(table.loc[wanted], columns.values())
    return table, columns, notes


def _wanted(
    collection: Collection, columns: Mapping[str, Column], asked: Options
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the column of each field and of each series: those asked for, or else the usual ones.

    Without fields the usual ones of these are series.
    """
    if asked.fields == "none":
        usual = _present({**collection.fields, **collection.series}, columns, {})
        series = pairs("series", asked.series) or usual
        _require_some(collection, "series", {**collection.fields, **collection.series}, series, columns)
        return {}, series
    fields, series = pairs("fields", asked.fields), pairs("series", asked.series)
    chosen = (
        fields or _present(collection.fields, columns, series),
        series or _present(collection.series, columns, fields),
    )
    for option, kind, found in zip(
        ("fields", "series"), (collection.fields, collection.series), chosen, strict=True
    ):
        _require_some(collection, option, kind, found, columns)
    if twice := sorted(set(chosen[0]) & set(chosen[1])):
        raise ConfigError(
            f"a quantity must be a field or a series, got {', '.join(twice)} as both; name one anew"
        )
    return chosen


def _positive(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1000:
        raise ConfigError(f"{name} must be a positive number, got {text!r}; try 0.1")
    return value


def _columns(
    source: Path, tables: Sequence[Path], wanted: frozenset[str], ids: frozenset[str], gaps: Sequence[float]
) -> dict[str, Column]:
    """Reads the series of the wanted ones of all gauges."""
    # a file of each gauge, of which there may be thousands, or files of many gauges
    in_files = [path for path in sources(source) if path.stem in wanted or path.stem not in ids]
    twins = {path.stem for path in in_files}  # Caravan holds each gauge in netCDF and again in CSV
    tables = [path for path in tables if path.stem not in twins]
    with OpenFiles() as files:  # read at once: series fit into memory
        found = variables(in_files, files)
        columns = read_columns(tables, found, known=wanted, others=False, missing=gaps)
    if not columns:
        there = [gauge for each in found if each.gauges is not None for gauge in map(str, each.gauges)]
        raise DataError(
            f"{source} must hold daily series of the catchments of its attributes, got none for "
            f"{some(sorted(wanted))}{f', but for {some(there)}' if there else ''}; add the folder timeseries, or take "
            "the identifiers of the series in the attributes"
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


def _require_some(
    collection: Collection,
    option: str,
    kind: Mapping[str, tuple[str, ...]],
    found: Mapping[str, str],
    columns: Mapping[str, Column],
) -> None:
    if not found:
        usual = some([each for some_of in kind.values() for each in some_of])
        raise DataError(
            f"{collection.name} must hold some of {usual}, got {some(columns, 12)}; name a column with --option "
            f"{option}={next(iter(kind))}=COLUMN"
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
