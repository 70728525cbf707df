"""Great Britain's importer on a source of eight gauges: its numbers by hand, and stored values that are no data."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.errors import DataError
from trainables.water_mae.data.windows import open_data
from trainables.water_mae.importing import gb_hydrology
from trainables.water_mae.importing.gb_hydrology import DAILY, GRID, TABLE, read
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, DataKnobs

PERIODS = {"train": "2001-03-01:2001-04-30", "val": "2001-05-01:2001-06-10"}
DATES = np.arange("2001-01-01", "2001-07-01", dtype="datetime64[D]")
FIRST = 59  # position of the first day of training
SHAPE = (12, 10)
IDS = np.arange(8, dtype=np.int32) * 100 + 2001
CELLS = np.array(
    [(1, 1), (1, 5), (2, 8), (5, 2), (6, 6), (8, 8), (9, 1), (10, 5)]
)  # row, column of the gauges


def daily_source() -> xr.Dataset:
    """Series in physical values, as float32 without attributes."""
    rng = np.random.default_rng(3)
    shape = (len(IDS), len(DATES))
    days = ("gauge_id", "time")
    course = ("gauge_id", "half", "doy")
    fields = {
        "precipitation": (days, rng.gamma(0.6, 4, shape).round(2)),
        "temperature": (days, (8 + 4 * rng.standard_normal(shape)).round(2)),
        "riverflow": (days, (0.5 + rng.gamma(1, 2, shape)).round(2)),
        "pet_doy_mean": (course, rng.uniform(1, 3, (len(IDS), 2, 365)).round(3)),
        "temperature_doy_mean": (course, rng.uniform(4, 12, (len(IDS), 2, 365)).round(3)),
    }
    dataset = xr.Dataset({name: (dims, values.astype(np.float32)) for name, (dims, values) in fields.items()})
    dataset["riverflow_repeat"] = (days, np.zeros(shape, np.uint8))
    dataset["first_day"] = ("gauge_id", np.array(["1990-01-01"] * len(IDS)))
    dataset["second_half_from"] = ("gauge_id", np.array(["2001-04-01"] * len(IDS)))
    return dataset.assign_coords(gauge_id=IDS, time=DATES.astype("datetime64[ns]"))


def grid_source() -> xr.Dataset:
    rows, cols = np.indices(SHAPE)
    x, y = 200_000 + 5_000 * np.arange(SHAPE[1]), 700_000 - 5_000 * np.arange(SHAPE[0])
    land = (rows > 0) & (cols > 0)
    relief = 9 - 0.7 * ((rows * 5 + cols * 3) % 11)  # neighbours differ by degrees
    return xr.Dataset(
        {
            "tmean_1910": (("y", "x"), relief.astype(np.float32)),
            "land_gb": (("y", "x"), land.astype(np.uint8)),
            "land_uk": (("y", "x"), land.astype(np.uint8)),
            "gauge_id": ("gauge", IDS),
            "gauge_easting": ("gauge", (x[CELLS[:, 1]] + 400.0).astype(np.float32)),
            "gauge_northing": ("gauge", (y[CELLS[:, 0]] - 300.0).astype(np.float32)),
        },
        coords={"x": x.astype(np.float64), "y": y.astype(np.float64)},
    )


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Writes the source, its series changed."""

    def write(change: Callable[[xr.Dataset], object] = lambda daily: None) -> Path:
        folder = tmp_path / "source"
        folder.mkdir()
        daily = daily_source()
        change(daily)
        plain = {
            name: {"_FillValue": None} for name in daily.data_vars if "_FillValue" not in daily[name].attrs
        }
        daily.to_netcdf(folder / DAILY, engine="h5netcdf", encoding=plain)
        grid_source().to_netcdf(folder / GRID, engine="h5netcdf")
        rng = np.random.default_rng(5)
        table = pd.DataFrame(
            rng.uniform(10, 50, (len(IDS), len(NRFA_ATTRIBUTES))), index=IDS, columns=NRFA_ATTRIBUTES
        )
        table.assign(complete=1).to_csv(folder / TABLE, index_label="id")
        return folder

    return write


def days_of(folder: Path, name: str) -> np.ndarray:
    with h5py.File(next(folder.glob(f"{name}_train_*.h5"))) as file:
        return np.asarray(file["data"][:])


def six_nearest(row: int, col: int, without: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Returns the six gauges nearest to a cell and their weights, of those that count."""
    grid = grid_source()
    distance = np.hypot(
        grid["gauge_easting"].values.astype(np.float64) - grid["x"].values[col],
        grid["gauge_northing"].values.astype(np.float64) - grid["y"].values[row],
    )
    nearest = np.array([gauge for gauge in np.argsort(distance)[:6] if gauge not in without])
    weight = (distance[nearest] + 2500.0) ** -2.0
    return nearest, weight / weight.sum()


def pack(daily: xr.Dataset, name: str, scale: float, fill: int | None = None) -> None:
    """Stores a variable as int16 as netCDF does; without `fill` it is the library's default that stands for none."""
    variable = daily[name]
    values = variable.values.astype(np.float64)
    none = -32767 if fill is None else fill
    stored = np.where(np.isnan(values), none, np.round(values / scale)).astype(np.int16)
    attributes = {"scale_factor": scale, "add_offset": 0.0} | (
        {} if fill is None else {"_FillValue": np.int16(fill)}
    )
    daily[name] = (variable.dims, stored, attributes)


def test_a_cell_of_temperature_is_its_own_relief_and_the_departures_of_six_gauges(
    source: Callable[..., Path], tmp_path: Path
) -> None:
    read(source(), tmp_path / "new", **PERIODS)
    daily, relief = daily_source()["temperature"].values, grid_source()["tmean_1910"].values
    temperature = days_of(tmp_path / "new", "temperature")
    for row, col in ((4, 4), (1, 9), (11, 3)):
        gauges, weight = six_nearest(row, col)
        expected = np.full(temperature.shape[0], float(relief[row, col]))
        for gauge, share in zip(gauges, weight, strict=True):
            above = float(relief[tuple(CELLS[gauge])])  # of the cell that the gauge lies in
            expected += share * (daily[gauge, FIRST : FIRST + len(expected)].astype(np.float64) - above)
        np.testing.assert_allclose(temperature[:, row, col], expected, atol=0.0051)


def test_packed_series_and_default_fills_are_read_as_netcdf_means_them(
    source: Callable[..., Path], tmp_path: Path
) -> None:
    def change(daily: xr.Dataset) -> None:
        daily["precipitation"][3, FIRST + 5] = np.nan
        daily["riverflow"][2, FIRST + 7 : FIRST + 9] = np.nan
        pack(daily, "precipitation", 0.01)
        pack(daily, "temperature", 0.01, -32768)
        pack(daily, "riverflow", 0.01)
        daily["temperature"].attrs["missing_value"] = np.array([-32768, 9999], np.int16)

    folder = source(change)
    report = read(folder, tmp_path / "new", **PERIODS)
    rain, right = days_of(tmp_path / "new", "precipitation"), daily_source()["precipitation"].values
    row, col = CELLS[3]
    gauges, weight = six_nearest(row, col)
    np.testing.assert_allclose(rain[4, row, col], weight @ right[gauges, FIRST + 4], atol=0.0051)
    gauges, weight = six_nearest(row, col, without=(3,))
    assert len(gauges) == 5
    np.testing.assert_allclose(rain[5, row, col], weight @ right[gauges, FIRST + 5], atol=0.0051)
    flow = pd.read_parquet(next((tmp_path / "new").glob("*.parquet"))).pivot(
        index="ID", columns="date", values="riverflow"
    )
    assert np.argwhere(flow.isna().to_numpy()).tolist() == [[2, 7], [2, 8]]
    land = grid_source()["land_gb"].values == 1
    with h5py.File(next((tmp_path / "new").glob("precipitation_val_*"))) as file:
        cells = np.concatenate([rain[:, land], file["data"][:][:, land]])
    assert (
        f"values: precipitation {cells.min():.4g} to {cells.max():.4g} mm/day, none missing; soil_mo"
        in report
    )
    assert f"river_flow {np.nanmin(flow):.4g} to {np.nanmax(flow):.4g} mm/day, 0.2 % missing" in report
    assert "soil_moisture 0." in report
    record = json.loads((tmp_path / "new" / "provenance.json").read_text())
    assert record["values"]["temperature"].endswith(" degC, none missing")
    data = open_data(tmp_path, "new", DataKnobs(sequence_length=10, stride=10, max_missing_ratio=0.1))
    assert np.isfinite(data.images).all()


def test_the_wrong_day_of_temperature_knows_nothing_of_the_day_after(
    source: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gb_hydrology, "_BAD_TEMPERATURE", DATES[FIRST + 6])

    def change(daily: xr.Dataset) -> None:
        daily["temperature"][:, FIRST + 6 : FIRST + 8] = 38.4

    read(source(change), tmp_path / "new", **PERIODS)
    temperature, land = days_of(tmp_path / "new", "temperature"), grid_source()["land_gb"].values == 1
    np.testing.assert_array_equal(temperature[6], temperature[5])
    assert (temperature[7][land] > 25).all()
    data = open_data(tmp_path, "new", DataKnobs(sequence_length=10, stride=10))
    seen = data.observed("train", np.array([0]))["image_observed"][0]
    assert not seen[2, 6].any()  # neither shown nor a target
    assert seen[2, [5, 7]].any(axis=(1, 2)).all() and seen[0, 6].any()
    for file in (tmp_path / "new").glob("precipitation_*.h5"):
        with h5py.File(file) as grid:
            assert "interpolated" not in grid


def test_values_beyond_a_valid_range_are_missing(source: Callable[..., Path], tmp_path: Path) -> None:
    def change(daily: xr.Dataset) -> None:
        daily["riverflow"][2, FIRST + 7] = 9000
        daily["riverflow"].attrs["valid_max"] = np.float32(1000)

    assert "river_flow 0.5 to " in read(source(change), tmp_path / "new", **PERIODS)


def test_all_that_cannot_be_is_refused_at_once(source: Callable[..., Path], tmp_path: Path) -> None:
    def change(daily: xr.Dataset) -> None:
        daily["precipitation"][3, FIRST + 5 : FIRST + 8] = -9999
        daily["temperature"][0, FIRST] = 9.96921e20
        daily["riverflow"][2, FIRST + 7] = -999
        daily["pet_doy_mean"][1, 1, 10] = -32.767

    folder = source(change)
    with h5py.File(folder / GRID, "a") as file:
        file["tmean_1910"][3, 3] = -9999
    table = pd.read_csv(folder / TABLE)
    table.loc[5, "dpsbar"] = -999
    table.to_csv(folder / TABLE, index=False)
    with pytest.raises(DataError) as caught:
        read(folder, tmp_path / "new", **PERIODS)
    text = str(caught.value)
    assert "got 5 faults:" in text  # evaporation of -33 mm/day is within bounds
    for words in (
        "precipitation in {}/camels_gb_daily.nc must lie within 0 and 2000 mm/day, got 3 other values in 1 place, "
        "first -9999 on 2001-03-06 at gauge 2301",
        "temperature in {}/camels_gb_daily.nc must lie within -100 and 100 degC, got 1 other value in 1 place, first ",
        "riverflow in {}/camels_gb_daily.nc must lie within 0 and 5000 mm/day, got 1 other value in 1 place, "
        "first -999 on 2001-03-08 at gauge 2201",
        "tmean_1910 in {}/gb_grid_5km_290x180.nc must lie within -100 and 100 degC, got 1 other value in 1 place, "
        "first -9999 on the mean of 1910 at cell [3, 3]",
        "dpsbar in {}/attributes_merged.csv must lie within 0 and 5000 m/km, got 1 other value in 1 place, "
        "first -999 at 2501; where that means no data leave the field empty",
    ):
        assert words.format(folder) in text
    assert not (tmp_path / "new").exists()
