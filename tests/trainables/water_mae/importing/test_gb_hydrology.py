"""The import of Great Britain's hydrology on the real files; skipped where these are absent."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from thalweg.errors import ConfigError, DataError, OutputError
from trainables.water_mae.config import PRESETS
from trainables.water_mae.data.patches import kept_patches
from trainables.water_mae.data.windows import open_data
from trainables.water_mae.datasets import SOURCES
from trainables.water_mae.importing import gb_hydrology
from trainables.water_mae.importing.gb_hydrology import DAILY, GRID, TABLE, derive_evaporation, read
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs
from trainables.water_mae.task import WaterMAETask

pytestmark = pytest.mark.slow

_SHARED = Path(__file__).parents[4].parent / "shared" / "data"
_SOURCE = Path(os.environ.get("THALWEG_TEST_DATA", _SHARED)) / "gb_hydrology"
_PERIODS = {"train": "1994-08-01:1994-10-31", "val": "1994-11-01:1994-12-05"}

needs_source = pytest.mark.skipif(
    not (_SOURCE / DAILY).is_file(),
    reason="the real data are not here; set THALWEG_TEST_DATA to the folder that holds gb_hydrology/",
)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short import around the one day whose temperature is wrong upstream, and its report."""
    folder = tmp_path_factory.mktemp("water_mae") / "gb-hydrology"
    return folder, SOURCES["gb-hydrology"].read(_SOURCE, folder, **_PERIODS, catchments="60")


@pytest.fixture(scope="module")
def daily() -> xr.Dataset:
    with xr.open_dataset(_SOURCE / DAILY, engine="h5netcdf") as dataset:
        return dataset.sel(time=slice("1994-08-01", "1994-12-05")).load()


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    with xr.open_dataset(_SOURCE / GRID, engine="h5netcdf") as dataset:
        return dataset.load()


def _grid_days(folder: Path, name: str) -> np.ndarray:
    parts = []
    for split in ("train", "val"):
        with h5py.File(folder / f"{name}_{split}_1994_1994.h5") as file:
            parts.append(file["data"][:])
    return np.concatenate(parts)


def _series(folder: Path, column: str) -> pd.DataFrame:
    (path,) = folder.glob("*.parquet")
    return pd.read_parquet(path).pivot(index="ID", columns="date", values=column)


@needs_source
def test_the_imported_data_open(imported: tuple[Path, str]) -> None:
    folder, _ = imported
    data = open_data(folder.parent, folder.name, DataKnobs())
    assert data.geometry.num_patches == 85
    assert len(data.catchments) == 60
    assert (data.num_samples("train"), data.num_samples("val")) == (4, 1)
    assert data.geometry.num_vector_patches == 8
    assert np.isfinite(data.images).all()
    assert np.isfinite(data.vectors).all()


@needs_source
def test_decoders_have_a_position_for_each_patch_of_the_grid(imported: tuple[Path, str]) -> None:
    folder, _ = imported
    data = open_data(folder.parent, folder.name, DataKnobs())
    assert data.geometry.grid_shape == (29, 18)
    assert tuple(data.geometry.patch_rows_cols.max(axis=0)) == (23, 16)  # beyond lies ocean
    with torch.device("meta"):
        model = WaterMAETask(PRESETS["reference"]).build(WaterMAETask(PRESETS["reference"]).facts(data))
    for name in PUBLISHED_SET.fields:
        assert model.get_parameter(f"{name}_decoder.position").shape == (522, 128)


@needs_source
@pytest.mark.parametrize(("name", "kept"), [("gb", 85), ("uk", 91)])
def test_land_masks_have_the_documented_number_of_patches(grid: xr.Dataset, name: str, kept: int) -> None:
    land = grid[f"land_{name}"].values == 1
    assert land.shape == (290, 180)
    assert len(kept_patches(land, 10, 0.5).valid) == kept
    assert len(kept_patches(np.ones_like(land), 10, 0.5).valid) == 522


@needs_source
def test_river_flow_is_the_observation(imported: tuple[Path, str], daily: xr.Dataset) -> None:
    flow = _series(imported[0], "riverflow")
    expected = daily["riverflow"].sel(gauge_id=flow.index.to_numpy()).values
    np.testing.assert_array_equal(flow.to_numpy(), expected.astype(np.float32))


@needs_source
def test_evaporation_is_the_mean_course_bent_by_temperature(
    imported: tuple[Path, str], daily: xr.Dataset
) -> None:
    evaporation = _series(imported[0], "evaporation")
    for gauge in evaporation.index[::13]:
        here = daily.sel(gauge_id=gauge)
        change = pd.Timestamp(str(here["second_half_from"].values))
        for date in evaporation.columns[::17]:
            half, day = int(pd.Timestamp(date) >= change), pd.Timestamp(date).day_of_year - 1
            usual = float(here["temperature_doy_mean"].values[half, day])
            demand = float(here["pet_doy_mean"].values[half, day])
            unseasonal = float(here["temperature"].sel(time=date)) - usual
            expected = demand * min(2.0, max(0.0, 1 + 0.06 * unseasonal))
            assert evaporation.loc[gauge, date] == pytest.approx(expected, abs=1e-3)


@needs_source
def test_evaporation_has_the_published_means() -> None:
    published = pd.read_csv(_SOURCE / "camels_gb_climatic_attributes.csv").set_index("gauge_id")
    with xr.open_dataset(_SOURCE / DAILY, engine="h5netcdf") as dataset:
        part = dataset.isel(gauge_id=slice(None, None, 8)).load()
    temperature = part["temperature"].values.astype(np.float32)
    evaporation = derive_evaporation(part, part["time"].values.astype("datetime64[D]"), temperature)
    mean = np.nanmean(evaporation, axis=1)
    expected = published["pet_mean"].loc[part["gauge_id"].values].to_numpy(np.float64)
    assert np.corrcoef(mean, expected)[0, 1] > 0.98
    assert np.median(np.abs(mean / expected - 1)) < 0.02


@needs_source
def test_a_cell_of_rain_is_the_weighted_mean_of_six_gauges(
    imported: tuple[Path, str], daily: xr.Dataset, grid: xr.Dataset
) -> None:
    rain = _grid_days(imported[0], "precipitation")
    started = daily["first_day"].values.astype("datetime64[D]") <= np.datetime64("1994-08-01")
    gauges = np.stack([grid["gauge_easting"].values, grid["gauge_northing"].values], axis=1)[started]
    values = daily["precipitation"].values[started]
    for row, col in ((150, 110), (230, 120)):
        distance = np.hypot(gauges[:, 0] - grid["x"].values[col], gauges[:, 1] - grid["y"].values[row])
        nearest = np.argsort(distance)[:6]
        weight = 1 / (distance[nearest] + 2500.0) ** 2
        expected = weight @ values[nearest] / weight.sum()
        np.testing.assert_allclose(rain[:, row, col], expected, atol=0.006)


@needs_source
def test_a_cell_of_temperature_is_its_own_relief_and_the_departures_of_six_gauges(
    imported: tuple[Path, str], daily: xr.Dataset, grid: xr.Dataset
) -> None:
    temperature = _grid_days(imported[0], "temperature")
    started = daily["first_day"].values.astype("datetime64[D]") <= np.datetime64("1994-08-01")
    gauges = np.stack([grid["gauge_easting"].values, grid["gauge_northing"].values], axis=1)[started]
    values = daily["temperature"].values[started]
    relief, x, y = grid["tmean_1910"].values, grid["x"].values, grid["y"].values
    for row, col in ((150, 110), (60, 85)):  # the second in the Highlands
        distance = np.hypot(gauges[:, 0] - x[col], gauges[:, 1] - y[row])
        nearest = np.argsort(distance)[:6]
        weight = 1 / (distance[nearest] + 2500.0) ** 2
        cells = [
            (int(np.abs(y - north).argmin()), int(np.abs(x - east).argmin()))
            for east, north in gauges[nearest]
        ]
        departure = values[nearest] - np.array([relief[cell] for cell in cells])[:, None]
        expected = relief[row, col] + weight @ departure / weight.sum()
        usual = np.arange(len(expected)) != 57  # the day that is wrong upstream
        np.testing.assert_allclose(temperature[usual, row, col], expected[usual], atol=0.006)


@needs_source
def test_the_wrong_day_is_mended(imported: tuple[Path, str], daily: xr.Dataset, grid: xr.Dataset) -> None:
    day = int((np.datetime64("1994-09-27") - np.datetime64("1994-08-01")).astype(int))
    assert float(daily["temperature"].isel(time=day).max()) > 38
    temperature = _grid_days(imported[0], "temperature")[:, grid["land_gb"].values == 1]
    np.testing.assert_array_equal(temperature[day], temperature[day - 1])
    assert "mended: temperature of 1994-09-27" in imported[1]


@needs_source
def test_soil_moisture_is_a_share(imported: tuple[Path, str], grid: xr.Dataset) -> None:
    soil = _grid_days(imported[0], "soil_moisture")[:, grid["land_gb"].values == 1]
    assert soil.min() >= 0
    assert soil.max() <= 1
    assert soil[-30:].mean() > soil[:30].mean()  # December is wetter than August


@needs_source
def test_the_ocean_holds_the_sentinel(imported: tuple[Path, str], grid: xr.Dataset) -> None:
    assert (_grid_days(imported[0], "precipitation")[:, grid["land_gb"].values == 0] == -99999).all()


@needs_source
def test_the_data_set_says_what_is_observed_and_whom_to_thank(imported: tuple[Path, str]) -> None:
    folder, report = imported
    record = json.loads((folder / "provenance.json").read_text())
    assert [name for name, kind in record["kinds"].items() if kind.startswith("OBSERVED")] == ["riverflow"]
    assert record["kinds"]["soil_moisture"].startswith("MODEL STATE")
    assert (record["num_catchments"], record["land_cells"], record["spin_up_days"]) == (60, 9070, 730)
    assert set(record["source_sha256"]) == {DAILY, GRID, TABLE}
    readme = (folder / "README.txt").read_text()
    for needed in ("Natural Environment Research Council", "Open Government Licence v3.0", "Crown copyright"):
        assert needed in readme
        assert needed in record["attribution"]
    assert report in readme
    assert f"evaporation: {record['calendar_share']:.1%} of its variance" in report
    assert "one anomaly of the day that all share" in report and "evaluation.modalities" in readme


@needs_source
def test_suspect_flow_can_be_made_missing(
    tmp_path: Path, imported: tuple[Path, str], daily: xr.Dataset
) -> None:
    read(_SOURCE, tmp_path / "new", **_PERIODS, catchments="60", suspect_flow="missing")
    flow = _series(tmp_path / "new", "riverflow")
    repeated = daily["riverflow_repeat"].sel(gauge_id=flow.index.to_numpy()).values == 1
    assert repeated.any()
    np.testing.assert_array_equal(flow.isna().to_numpy(), repeated)
    assert not _series(imported[0], "riverflow").isna().to_numpy().any()


@needs_source
def test_all_catchments_include_the_incomplete_ones(tmp_path: Path) -> None:
    read(
        _SOURCE,
        tmp_path / "all",
        train="1994-08-01:1994-08-31",
        val="1994-09-01:1994-09-30",
        catchments="all",
    )
    table = pd.read_csv(tmp_path / "all" / "Catchment_attributes_nrfa.csv", index_col="id")
    assert len(table) > 600
    assert table.isna().any(axis=1).sum() > 200
    open_data(tmp_path, "all", DataKnobs())


@needs_source
def test_an_interrupted_import_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gb_hydrology, "write_provenance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read(_SOURCE, tmp_path / "new", train="1994-08-01:1994-08-03", val="1994-08-04:1994-08-05")
    assert not list(tmp_path.iterdir())


@needs_source
def test_an_import_does_not_replace_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(OutputError, match="must be new or empty"):
        read(_SOURCE, tmp_path, **_PERIODS)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"train": "1994"}, r"train must be YYYY-MM-DD:YYYY-MM-DD, got '1994'; try 2001-01-01:2010-12-31"),
        ({"val": "2011-01-01:soon"}, r"val must be YYYY-MM-DD:YYYY-MM-DD, got .* try 2001-01-01:2010-12-31"),
        ({"train": "1995-01-01:1994-01-01"}, "must not end before it begins"),
        ({"val": "2009-01-01:2011-01-01"}, "val must begin after train ends"),
        ({"test": "2012-01-01:2014-01-01"}, "test must begin after val ends, got val=2011"),
        ({"test": "some"}, "test must be YYYY-MM-DD:YYYY-MM-DD, got 'some'"),
        ({"catchments": "some"}, "catchments must be complete, all or a number, got 'some'"),
        ({"catchments": "0"}, "catchments must be complete, all or a number, got '0'"),
        ({"mask": "eu"}, "mask must be gb or uk, got 'eu'"),
        ({"suspect_flow": "drop"}, "suspect_flow must be keep or missing, got 'drop'"),
    ],
)
def test_an_option_that_is_not_understood_is_refused(
    tmp_path: Path, options: dict[str, str], match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        read(tmp_path, tmp_path / "new", **options)


@needs_source
def test_a_period_outside_the_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="within the record 1970-10-01 to 2015-09-30, got 2014-01-01 to 2016"
    ):
        read(_SOURCE, tmp_path / "new", train="2014-01-01:2014-12-31", val="2015-01-01:2016-01-01")


@needs_source
def test_a_test_split_can_be_imported(tmp_path: Path) -> None:
    periods = {
        "train": "1994-08-01:1994-09-05",
        "val": "1994-09-06:1994-10-10",
        "test": "1994-10-11:1994-11-20",
    }
    report = read(_SOURCE, tmp_path / "new", **periods, catchments="10")
    assert "val 1994-09-06 to 1994-10-10, test 1994-10-11 to 1994-11-20" in report
    data = open_data(tmp_path, "new", DataKnobs())
    assert [data.num_samples(split) for split in ("train", "val", "test")] == [1, 1, 1]
    assert json.loads((tmp_path / "new" / "provenance.json").read_text())["test"] == [
        "1994-10-11",
        "1994-11-20",
    ]


@needs_source
def test_more_catchments_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"catchments must be at most 3.., .* got 5000; try complete"):
        read(_SOURCE, tmp_path / "new", **_PERIODS, catchments="5000")


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"got no {DAILY}, {GRID}, {TABLE} in .*; pass the folder that holds"):
        read(tmp_path, tmp_path / "new")


@needs_source
@pytest.mark.parametrize("name", [DAILY, GRID, TABLE])
def test_a_damaged_source_file_is_refused(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for other in (DAILY, GRID, TABLE):
        (source / other).symlink_to(_SOURCE / other)
    (source / name).unlink()
    (source / name).write_bytes((_SOURCE / name).read_bytes()[:5000])
    with pytest.raises(DataError, match=r"copy (them|it|both) again"):
        read(source, tmp_path / "new", **_PERIODS)
    assert not (tmp_path / "new").exists()
