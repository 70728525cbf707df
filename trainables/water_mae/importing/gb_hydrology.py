"""Import of Great Britain's hydrology: CAMELS-GB catchments and the Met Office 5 km grid.

Only river flow is observed. Evaporation is derived, gridded precipitation and temperature are interpolated from
catchment means, and soil moisture is the state of a model. ``README.txt`` and ``provenance.json`` in the data set say
so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.encoding import Encoding
from thalweg.data.faults import Faults
from thalweg.data.hdf5 import CHUNK_DAYS
from thalweg.data.store import staged
from thalweg.data.survey import Extremes, Survey
from thalweg.errors import ConfigError, DataError
from trainables.water_mae.data import layout, writing
from trainables.water_mae.data.calendar_share import calendar_share
from trainables.water_mae.data.layout import Period
from trainables.water_mae.data.soil import SoilBucket
from trainables.water_mae.data.tables import read_attributes
from trainables.water_mae.data.values import require_plausible_attributes, survey_cells, survey_series
from trainables.water_mae.importing.gb_provenance import Provenance, write_provenance
from trainables.water_mae.importing.gridding import InverseDistance
from trainables.water_mae.importing.options import GB_TRAIN, GB_VAL
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PLAUSIBLE, PUBLISHED_SET

DAILY, GRID, TABLE = "camels_gb_daily.nc", "gb_grid_5km_290x180.nc", "attributes_merged.csv"

_CORRECTION = 0.06  # per degC: HBV-light's response of evaporation to a temperature anomaly
_SPIN_UP = np.timedelta64(730, "D")  # the soil forgets its initial state within two years
_SERIES = {"precipitation": "precipitation", "temperature": "temperature", "riverflow": "river_flow"}
_COURSES = {"pet_doy_mean": "evaporation", "temperature_doy_mean": "temperature"}
_BAD_TEMPERATURE = np.datetime64("1994-09-27")  # -21.5 to 38.4 degC upstream, an error


@dataclass(frozen=True)
class Options:
    """Options of the import; see `GB_HYDROLOGY`."""

    periods: Mapping[SplitName, Period]
    catchments: str
    mask: str
    suspect_flow: str

    @property
    def whole(self) -> Period:
        """From the first day of the first split to the last day of the last one."""
        spans = list(self.periods.values())
        return Period(spans[0].first, spans[-1].last)


@dataclass(frozen=True)
class Record:
    """Daily series of all gauges over spin-up and splits.

    Attributes:
        dates: The days.
        ids: NRFA gauge numbers.
        started: True for gauges whose record covers the training split.
        precipitation: Catchment mean in mm/day, NaN before a record starts and for missing values.
        temperature: Catchment mean in degC.
        evaporation: Derived, in mm/day.
        riverflow: Specific discharge in mm/day.
        repeated: True within runs of 15 or more days of equal river flow.
    """

    dates: Shaped[np.ndarray, " day"]
    ids: Int64[np.ndarray, " gauge"]
    started: Bool[np.ndarray, " gauge"]
    precipitation: Float32[np.ndarray, "gauge day"]
    temperature: Float32[np.ndarray, "gauge day"]
    evaporation: Float32[np.ndarray, "gauge day"]
    riverflow: Float32[np.ndarray, "gauge day"]
    repeated: Bool[np.ndarray, "gauge day"]

    def span(self, period: Period) -> slice:
        """Returns the positions of a period."""
        first, stop = np.searchsorted(self.dates, [period.first, period.last + np.timedelta64(1, "D")])
        return slice(int(first), int(stop))


def read(
    source: Path,
    target: Path,
    *,
    train: str = GB_TRAIN,
    val: str = GB_VAL,
    test: str = "none",
    catchments: str = "complete",
    mask: str = "gb",
    suspect_flow: str = "keep",
) -> str:
    """Imports the folder `source` into the new folder `target`, which appears only when complete.

    Args:
        source: Folder with the two NetCDF files and the attribute table.
        target: Folder of the data set.
        train: First and last day of the training split.
        val: First and last day of the validation split.
        test: First and last day of the test split, or ``none``.
        catchments: ``complete``, ``all`` or a number.
        mask: ``gb`` or ``uk``.
        suspect_flow: ``keep`` or ``missing``.

    Returns:
        A report: what is observed, what is not, counts, extremes and missing shares.

    Raises:
        ConfigError: An option cannot be parsed, or a period lies outside the record.
        DataError: A source file is missing or damaged, or values are out of bounds; reported for all variables at once.
        OutputError: `target` is not empty or cannot be written.
    """
    periods = layout.parse_periods({"train": train, "val": val, "test": test}, GB_TRAIN)
    options = _parse(periods, catchments, mask, suspect_flow)
    _require_files(source)
    faults = Faults()
    try:
        with xr.open_dataset(source / DAILY, engine="h5netcdf", mask_and_scale=False) as daily:
            record = _read_record(daily, options, faults)
        with xr.open_dataset(source / GRID, engine="h5netcdf", mask_and_scale=False) as grid:
            terrain = _read_terrain(grid, options.mask, record.ids, faults)
        table = read_attributes(source / TABLE, (*NRFA_ATTRIBUTES, "complete"))
        chosen = _choose(record, table, options.catchments)
        with faults.collected():
            ids = record.ids[chosen]
            numbers = table.loc[ids, list(NRFA_ATTRIBUTES)].to_numpy()
            require_plausible_attributes(source / TABLE, NRFA_ATTRIBUTES, numbers, ids)
        faults.raise_if_any()
    except (OSError, KeyError) as error:
        raise DataError(
            f"{source} must hold complete files, got {type(error).__name__}: {error}; copy them again"
        ) from None
    with staged(target) as folder:
        extremes = _write_grids(folder, record, terrain, options)
        extremes |= _write_catchments(folder, record, table, chosen, options)
        provenance = _provenance(record, terrain, table, chosen, options, extremes)
        return write_provenance(folder, provenance, [source / name for name in (DAILY, GRID, TABLE)])


def _parse(periods: Mapping[SplitName, Period], catchments: str, mask: str, suspect_flow: str) -> Options:
    if catchments not in ("complete", "all") and not (catchments.isdigit() and int(catchments)):
        raise ConfigError(f"catchments must be complete, all or a number, got {catchments!r}; try complete")
    if mask not in ("gb", "uk"):
        raise ConfigError(f"mask must be gb or uk, got {mask!r}; try gb")
    if suspect_flow not in ("keep", "missing"):
        raise ConfigError(f"suspect_flow must be keep or missing, got {suspect_flow!r}; try keep")
    return Options(periods, catchments, mask, suspect_flow)


def _require_files(source: Path) -> None:
    missing = [name for name in (DAILY, GRID, TABLE) if not (source / name).is_file()]
    if missing:
        raise DataError(
            f"the source of gb-hydrology must be a folder with {DAILY}, {GRID} and {TABLE}, "
            f"got no {', '.join(missing)} in {source}; pass the folder that holds them"
        )


def physical(variable: xr.DataArray) -> Float64[np.ndarray, "*shape"]:
    """Returns a variable in physical values, NaN for missing data; variables decoded by xarray stay as they are.

    xarray ignores valid ranges and netCDF's default fill values.
    """
    encoding = Encoding.of(variable.attrs, variable.dtype, str(variable.name), is_netcdf=True)
    return encoding.decode_exactly(variable.values)


def _looked_at(
    variable: xr.DataArray,
    modality: str,
    days: Sequence[object] | Shaped[np.ndarray, " day"],
    places: Sequence[str],
    faults: Faults,
) -> Float64[np.ndarray, "*shape"]:
    """Returns a variable (place, day) in physical values; adds values out of bounds to the faults."""
    values = physical(variable)
    source = variable.encoding.get("source", "the source")
    survey = Survey(
        str(variable.name), source, PLAUSIBLE[modality][:1], place=lambda number: f"at {places[number]}"
    )
    series = values.reshape(len(places), -1).T
    with faults.collected():
        survey.update(series, np.isfinite(series), days)
        survey.raise_if_any()
    return values


def _read_record(daily: xr.Dataset, options: Options, faults: Faults) -> Record:
    """Reads the days from spin-up to the end of validation."""
    days = daily["time"].values.astype("datetime64[D]")
    whole = options.whole
    if whole.first < days[0] or whole.last > days[-1]:
        raise ConfigError(
            f"the splits must lie within the record {days[0]} to {days[-1]}, got {whole.first} to {whole.last}; "
            "choose other days"
        )
    inside = (days >= whole.first - _SPIN_UP) & (days <= whole.last)
    part = daily.isel(time=np.flatnonzero(inside))
    dates = days[inside]
    ids = daily["gauge_id"].values.astype(np.int64)
    names = [f"gauge {number}" for number in ids]
    series = {
        name: _looked_at(part[name], modality, dates, names, faults).astype(np.float32)
        for name, modality in _SERIES.items()
    }
    for name, modality in _COURSES.items():
        halves, num_days = daily[name].shape[1:]
        labels = [f"day {day + 1} of half {half}" for half in range(halves) for day in range(num_days)]
        _looked_at(daily[name], modality, labels, names, faults)
    temperature = _mended(series["temperature"], dates)
    return Record(
        dates=dates,
        ids=ids,
        started=daily["first_day"].values.astype("datetime64[D]") <= whole.first,
        precipitation=series["precipitation"],
        temperature=temperature,
        evaporation=derive_evaporation(daily, dates, temperature),
        riverflow=series["riverflow"],
        repeated=part["riverflow_repeat"].values == 1,
    )


def _mended(
    temperature: Float32[np.ndarray, "gauge day"], dates: Shaped[np.ndarray, " day"]
) -> Float32[np.ndarray, "gauge day"]:
    """Replaces the one day that is wrong upstream by the day before; a later day would leak the future."""
    for day in np.flatnonzero(dates[1:] == _BAD_TEMPERATURE):
        temperature[:, day + 1] = temperature[:, day]
    return temperature


def derive_evaporation(
    daily: xr.Dataset, dates: Shaped[np.ndarray, " day"], temperature: Float32[np.ndarray, "gauge day"]
) -> Float32[np.ndarray, "gauge day"]:
    """Derives daily potential evaporation from its mean annual cycle and the anomaly of temperature.

    E = PETbar(doy) * clip(1 + C (T - Tbar(doy)), 0, 2): Seibert & Vis (2012), HESS 16, 3315-3325, Eq. 5. The
    mean annual cycles are given for each half of a gauge's record; day 366 takes the values of day 365.
    """
    changes = daily["second_half_from"].values.astype("datetime64[D]")
    half = (dates >= changes[:, None]).astype(np.int64)
    new_year = dates.astype("datetime64[Y]").astype("datetime64[D]")
    position = np.minimum((dates - new_year).astype(np.int64), 364)
    gauge = np.arange(len(changes))[:, None]
    usual = physical(daily["temperature_doy_mean"])[gauge, half, position]
    demand = physical(daily["pet_doy_mean"])[gauge, half, position]
    evaporation: Float32[np.ndarray, "gauge day"] = (
        demand * np.clip(1 + _CORRECTION * (temperature - usual), 0, 2)
    ).astype(np.float32)
    return evaporation


@dataclass(frozen=True)
class Terrain:
    """The grid and the positions of the gauges.

    Attributes:
        land: Land mask.
        places: Easting and northing of the land cells in metres.
        gauges: Easting and northing of the gauges in metres.
        map_at_places: Annual mean temperature of 1910 at the land cells, in degC.
        map_at_gauges: The same in the cells of the gauges.
    """

    land: Bool[np.ndarray, "row col"]
    places: Float64[np.ndarray, "place 2"]
    gauges: Float64[np.ndarray, "gauge 2"]
    map_at_places: Float64[np.ndarray, " place"]
    map_at_gauges: Float64[np.ndarray, " gauge"]


def _read_terrain(grid: xr.Dataset, mask: str, ids: Int64[np.ndarray, " gauge"], faults: Faults) -> Terrain:
    if not np.array_equal(grid["gauge_id"].values, ids):
        raise DataError(f"{GRID} and {DAILY} must list the same gauges, got different ones; copy both again")
    land = grid[f"land_{mask}"].values == 1
    x, y = np.meshgrid(grid["x"].values, grid["y"].values)
    cells = np.stack([x, y], axis=-1).reshape(-1, 2)
    names = [f"cell [{row}, {col}]" for row, col in np.ndindex(land.shape)]
    relief = _looked_at(grid["tmean_1910"], "temperature", ["the mean of 1910"], names, faults).ravel()
    known = np.isfinite(relief)  # the map ends off the coast
    gauges = np.stack([physical(grid[f"gauge_{name}"]) for name in ("easting", "northing")], axis=1)
    nearest = InverseDistance(cells[known], np.concatenate([cells[land.ravel()], gauges]), num_neighbours=1)
    values = nearest(relief[known, None])[0]
    num_places = int(land.sum())
    return Terrain(
        land=land,
        places=cells[land.ravel()],
        gauges=gauges,
        map_at_places=values[:num_places],
        map_at_gauges=values[num_places:],
    )


def _choose(record: Record, table: pd.DataFrame, catchments: str) -> Int64[np.ndarray, " chosen"]:
    """Returns the positions of the gauges whose series are written."""
    unknown = np.setdiff1d(record.ids, table.index.to_numpy())
    if unknown.size:
        raise DataError(
            f"{TABLE} must have a row for every gauge, got none for {unknown.size} of {len(record.ids)}; "
            "copy it again"
        )
    complete = table["complete"].loc[record.ids].to_numpy() == 1
    found = np.flatnonzero(record.started if catchments == "all" else record.started & complete)
    if not found.size:
        raise ConfigError(
            "some gauge must have started by the first day of train, got none; choose a later day"
        )
    if not catchments.isdigit():
        return found
    if int(catchments) > found.size:
        raise ConfigError(
            f"catchments must be at most {found.size}, the complete ones whose record covers train, "
            f"got {catchments}; try complete"
        )
    evenly = np.linspace(0, found.size - 1, int(catchments)).round().astype(np.int64)
    return found[evenly]


def _write_grids(folder: Path, record: Record, terrain: Terrain, options: Options) -> dict[str, Extremes]:
    """Interpolates the grids from all gauges that have started, chosen or not; returns the extremes of the cells."""
    started = record.started
    interpolate = InverseDistance(terrain.gauges[started], terrain.places)
    anomaly = record.temperature - terrain.map_at_gauges[:, None].astype(np.float32)
    fields: list[tuple[str, Float32[np.ndarray, "gauge day"], Float64[np.ndarray, " place"], int]] = [
        ("precipitation", record.precipitation, np.zeros(len(terrain.places)), 2),
        ("soil_moisture", _soil_moisture(record), np.zeros(len(terrain.places)), 3),
        ("temperature", anomaly, terrain.map_at_places, 2),
    ]
    extremes: dict[str, Extremes] = {}
    for split, period in options.periods.items():
        for name, series, base, decimals in fields:
            days = series[started, record.span(period)]
            survey = survey_cells(PUBLISHED_SET[name], folder, terrain.land, PLAUSIBLE[name][0].unit)
            pieces = _seen(_interpolated(interpolate, days, base, decimals), survey, period)
            carried = (period.dates == _BAD_TEMPERATURE) & (name == "temperature")
            writing.write_grid(
                folder, name, split, period, land=terrain.land, pieces=pieces, interpolated=carried
            )
            survey.raise_if_any()
            extremes[name] = extremes.get(name, Extremes()) + survey.extremes
    writing.write_mask(folder, terrain.land)
    return extremes


def _seen(
    pieces: Iterator[Float32[np.ndarray, "piece place"]], survey: Survey, period: Period
) -> Iterator[Float32[np.ndarray, "piece place"]]:
    first = 0
    for piece in pieces:
        survey.update(piece, np.isfinite(piece), period.dates[first : first + len(piece)])
        first += len(piece)
        yield piece


def _interpolated(
    interpolate: InverseDistance,
    series: Float32[np.ndarray, "gauge day"],
    base: Float64[np.ndarray, " place"],
    decimals: int,
) -> Iterator[Float32[np.ndarray, "piece place"]]:
    for first in range(0, series.shape[1], CHUNK_DAYS):
        cells = interpolate(series[:, first : first + CHUNK_DAYS]) + base
        yield cells.round(decimals).astype(np.float32)


def _soil_moisture(record: Record) -> Float32[np.ndarray, "gauge day"]:
    """Runs the HBV soil routine for each catchment; its state is constant on days without weather data."""
    soil = SoilBucket(len(record.ids))
    weather = (record.precipitation, record.temperature, record.evaporation)
    out = np.empty_like(record.precipitation)
    for day in range(len(record.dates)):
        forcing = np.stack([series[:, day] for series in weather]).astype(np.float64)
        soil.step(*np.where(np.isfinite(forcing).all(axis=0), forcing, 0))
        out[:, day] = soil.saturation
    return out


def _write_catchments(
    folder: Path, record: Record, table: pd.DataFrame, chosen: Int64[np.ndarray, " chosen"], options: Options
) -> dict[str, Extremes]:
    period = options.whole
    span = record.span(period)
    riverflow = record.riverflow[chosen, span]
    if options.suspect_flow == "missing":
        riverflow = np.where(record.repeated[chosen, span], np.float32(np.nan), riverflow)
    evaporation = record.evaporation[chosen, span].round(3)
    ids = record.ids[chosen]
    path = writing.write_series(folder, period, ids, evaporation=evaporation, riverflow=riverflow)
    writing.write_attributes(folder, table.loc[ids])
    series = {"evaporation": evaporation.T, "riverflow": riverflow.T}
    return survey_series(path, series, period.dates, ids, PUBLISHED_SET)


def _provenance(
    record: Record,
    terrain: Terrain,
    table: pd.DataFrame,
    chosen: Int64[np.ndarray, " chosen"],
    options: Options,
    extremes: Mapping[str, Extremes],
) -> Provenance:
    span = record.span(options.whole)
    repeated = record.repeated[chosen, span]
    spin_up = span.start
    training = record.span(options.periods["train"])
    evaporation = record.evaporation[chosen, training].T.astype(np.float64)
    day_of_year = (pd.DatetimeIndex(record.dates[training]).day_of_year.to_numpy() - 1).astype(np.int16)
    return Provenance(
        periods=options.periods,
        mask=options.mask,
        land_cells=int(terrain.land.sum()),
        num_catchments=len(chosen),
        num_complete=int((table.loc[record.ids[chosen], "complete"] == 1).sum()),
        num_gauges=int(record.started.sum()),
        spin_up_days=spin_up,
        repeated_ratio=float(repeated.mean()),
        num_repeated_catchments=int((repeated.mean(axis=1) > 0.05).sum()),
        suspect_flow=options.suspect_flow,
        calendar_share=calendar_share(evaporation, day_of_year, np.isfinite(evaporation)),
        mended_days=[str(_BAD_TEMPERATURE)] if _BAD_TEMPERATURE in record.dates else [],
        values={name: str(found) for name, found in extremes.items()},
    )
