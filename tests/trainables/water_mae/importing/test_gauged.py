"""Caravan and CAMELS in their own layouts."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.trainables.water_mae.another_country import DAYS, flows
from thalweg.errors import ConfigError, DataError
from trainables.water_mae.data.windows import open_data
from trainables.water_mae.importing.gauged import CAMELS, CARAVAN, read
from trainables.water_mae.importing.gridded import gauge_grid
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs

CARAVAN_IDS = ("camels_01013500", "camels_01022500", "lamah_12", "lamah_7")
PLACES = {"gauge_lat": [47.2, 44.6, 46.9, 46.5], "gauge_lon": [-68.6, -67.9, -68.1, -68.4]}
ROWS = tuple(PUBLISHED_SET[name] for name in ("precipitation", "soil_moisture", "temperature", "river_flow"))


def weather() -> dict[str, np.ndarray]:
    """Means over catchments (day, gauge) under Caravan's names."""
    rng = np.random.default_rng(3)
    shape = (len(DAYS), 4)
    return {
        "total_precipitation_sum": rng.gamma(0.5, 6, shape),
        "temperature_2m_mean": rng.normal(8, 5, shape),
        "volumetric_soil_water_layer_1_mean": rng.uniform(0.1, 0.4, shape),
        "snow_depth_water_equivalent_mean": rng.uniform(0, 90, shape),
    }


def write_caravan(folder: Path, kind: str) -> None:
    """The layout of Caravan 1.x: a folder for each source dataset, a file for each gauge."""
    values = {**weather(), "streamflow": flows().astype(float)}
    values["streamflow"][40:43, 1] = np.nan
    for number, gauge in enumerate(CARAVAN_IDS):
        source = gauge.partition("_")[0]
        place = folder / "timeseries" / kind / source
        place.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame({name: each[:, number] for name, each in values.items()})
        table.index = pd.DatetimeIndex(DAYS.astype("datetime64[ns]"), name="date")
        if kind == "csv":
            table.to_csv(place / f"{gauge}.csv")
        else:
            xr.Dataset.from_dataframe(table).to_netcdf(place / f"{gauge}.nc", engine="h5netcdf")
    for source in ("camels", "lamah"):
        rows = [number for number, gauge in enumerate(CARAVAN_IDS) if gauge.startswith(source)]
        place = folder / "attributes" / source
        place.mkdir(parents=True)
        ids = [CARAVAN_IDS[row] for row in rows]
        places = {name: np.array(degrees)[rows] for name, degrees in PLACES.items()}
        other = pd.DataFrame({"gauge_name": "a river", "country": "X", **places}, index=ids)
        other["area"] = np.array([2252.7, 573.6, 120.0, 88.0])[rows]
        other.to_csv(place / f"attributes_other_{source}.csv", index_label="gauge_id")
        climate = pd.DataFrame(
            {"p_mean": 3.0 + np.array(rows), "aridity": 0.5 + 0.1 * np.array(rows)}, index=ids
        )
        climate.to_csv(place / f"attributes_caravan_{source}.csv", index_label="gauge_id")
        atlas = pd.DataFrame({"ele_mt_sav": 100.0 * (1 + np.array(rows)), "glc_cl_smj": 4}, index=ids)
        atlas.to_csv(place / f"attributes_hydroatlas_{source}.csv", index_label="gauge_id")


@pytest.mark.parametrize("kind", ["csv", "netcdf"])
def test_caravan_is_read_in_both_of_its_forms(tmp_path: Path, kind: str) -> None:
    write_caravan(tmp_path / "caravan", kind)
    told = read(CARAVAN, tmp_path / "caravan", tmp_path / "data" / "made", cell="0.5", reach="2")
    assert "interpolated, by inverse distance, from the means over 4 catchments" in told
    knobs = DataKnobs(
        modalities=ROWS,
        attributes=("area", "ele_mt_sav", "p_mean", "aridity"),
        patch_size=2,
        sequence_length=4,
        stride=2,
    )
    assert f'"attributes": {knobs.attributes!r}' in told and '"patch_size": 2,' in told
    data = open_data(tmp_path / "data", "made", knobs)
    assert data.catchments == CARAVAN_IDS
    assert data.units == ("mm/day", "1", "degC", "mm/day")
    seen = np.delete(flows()[:90, 1], [40, 41, 42])
    column = data.vectors[:90, 0].reshape(90, -1)[:, 1] * data.std[3] + data.mean[3]
    np.testing.assert_allclose(np.delete(column, [40, 41, 42]), np.log(seen + 1e-6), atol=1e-4)
    assert data.vector_observed is not None and not data.vector_observed[40:43, 0].reshape(3, -1)[:, 1].any()
    assert data.geometry.member_positions.any()


def test_a_gauge_in_both_forms_is_read_once(tmp_path: Path) -> None:
    write_caravan(tmp_path / "caravan", "csv")
    shutil.rmtree(tmp_path / "caravan" / "attributes")
    write_caravan(tmp_path / "caravan", "netcdf")
    assert "4 catchments" in read(CARAVAN, tmp_path / "caravan", tmp_path / "made", cell="0.5")


def test_cells_are_between_the_gauges_around_them(tmp_path: Path) -> None:
    write_caravan(tmp_path / "caravan", "csv")
    read(CARAVAN, tmp_path / "caravan", tmp_path / "made", cell="0.5", reach="2", catchments="camels_*")
    with h5py.File(next((tmp_path / "made").glob("temperature_train_*.h5"))) as file:
        days = file["data"][:]
    land = np.load(next((tmp_path / "made").glob("*mask_*.npy"))) == 1
    own = weather()["temperature_2m_mean"][:90, :2]
    assert (days[:, land] >= own.min(axis=1, keepdims=True) - 1e-3).all()
    assert (days[:, land] <= own.max(axis=1, keepdims=True) + 1e-3).all()
    table = pd.read_csv(tmp_path / "made" / "Catchment_attributes.csv", index_col="id")
    assert list(table.index) == list(CARAVAN_IDS[:2])


def test_the_grid_lies_within_reach_of_gauges_and_north_is_up() -> None:
    positions = np.array([[10.0, 50.0], [10.5, 51.0]])
    land, interpolate = gauge_grid(positions, 0.25, 2, 10_000)
    values = interpolate(np.array([[1.0], [5.0]]))[0]
    grid = np.full(land.shape, np.nan)
    grid[land] = values
    means = np.nanmean(grid, axis=1)
    assert means[0] > means[-1]  # the northern gauge has 5
    assert np.nanmin(grid) >= 1 and np.nanmax(grid) <= 5 and not land.all()
    with pytest.raises(ConfigError, match="at most 100 cells"):
        gauge_grid(positions, 0.01, 2, 100)


def camels_attributes(folder: Path, ids: list[str]) -> None:
    table = pd.DataFrame(
        {**PLACES, "area": [100.0, 200.0, 50.0, 400.0], "elev_mean": [10, 20, 30, 40]}, index=ids
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "CAMELS_XX_topographic_attributes.csv", index_label="gauge_id")


def camels_knobs() -> DataKnobs:
    rows = tuple(row for row in ROWS if row.name != "soil_moisture")
    attributes = ("area", "elev_mean")
    return DataKnobs(modalities=rows, attributes=attributes, patch_size=2, sequence_length=4, stride=2)


def opened_flow(root: Path) -> np.ndarray:
    data = open_data(root, "made", camels_knobs())
    log = data.vectors[:, 0].reshape(len(DAYS), -1) * data.std[2] + data.mean[2]
    flow: np.ndarray = np.exp(log)
    return flow


def test_camels_with_a_file_for_each_catchment(tmp_path: Path) -> None:
    """As CAMELS-GB: the identifier is within the name of the file."""
    ids = ["39001", "39002", "54017", "2001"]
    camels_attributes(tmp_path / "camels", ids)
    place = tmp_path / "camels" / "timeseries"
    place.mkdir()
    for number, gauge in enumerate(ids):
        table = pd.DataFrame({"date": DAYS.astype(str)})
        table["precipitation"] = weather()["total_precipitation_sum"][:, number]
        table["temperature"] = weather()["temperature_2m_mean"][:, number]
        table["discharge_spec"] = flows()[:, number]
        table["discharge_vol"] = flows()[:, number] * 7.0
        table.to_csv(place / f"CAMELS_GB_hydromet_timeseries_{gauge}_20010101-20010430.csv", index=False)
    told = read(CAMELS, tmp_path / "camels", tmp_path / "data" / "made", cell="0.5", reach="2")
    assert "4 catchments" in told
    order = [ids.index(each) for each in sorted(ids)]
    np.testing.assert_allclose(opened_flow(tmp_path / "data"), flows()[:, order], rtol=1e-3)


def test_camels_with_units_in_headers_and_a_volume(tmp_path: Path) -> None:
    """As CAMELS-CH: discharge_vol(m3/s)."""
    ids = ["2009", "2011", "2016", "2018"]
    camels_attributes(tmp_path / "camels", ids)
    areas = np.array([100.0, 200.0, 50.0, 400.0])
    for number, gauge in enumerate(ids):
        table = pd.DataFrame({"date": DAYS.astype(str)})
        table["discharge_vol(m3/s)"] = flows()[:, number] * areas[number] / 86.4
        table["precipitation(mm/d)"] = weather()["total_precipitation_sum"][:, number]
        table["temperature_mean(degC)"] = weather()["temperature_2m_mean"][:, number]
        table.to_csv(tmp_path / "camels" / f"CAMELS_CH_obs_based_{gauge}.csv", index=False)
    told = read(CAMELS, tmp_path / "camels", tmp_path / "data" / "made", cell="0.5", reach="2")
    assert "converted from m3/s to mm/day" in told
    np.testing.assert_allclose(opened_flow(tmp_path / "data"), flows(), rtol=1e-3)


def test_camels_with_a_table_for_each_quantity(tmp_path: Path) -> None:
    """As CAMELS-AUS: a column for each gauge, the day in three columns, -99.99 for no data."""
    ids = ["A2390519", "912101A", "G8150018", "A3010003"]
    camels_attributes(tmp_path / "camels", ids)
    values = flows()
    values[7, 2] = -99.99
    days = pd.DatetimeIndex(DAYS.astype("datetime64[ns]"))
    for name, each in (
        ("streamflow_mmd", values),
        ("precipitation", weather()["total_precipitation_sum"]),
        ("temperature", weather()["temperature_2m_mean"]),
    ):
        table = pd.DataFrame(each, columns=ids)
        for number, (part, numbers) in enumerate(
            {"year": days.year, "month": days.month, "day": days.day}.items()
        ):
            table.insert(number, part, numbers)
        table.to_csv(tmp_path / "camels" / f"{name}.csv", index=False)
    with pytest.raises(DataError, match=r"river_flow in .* must lie within 0 and 5000 mm/day, got 1 other"):
        read(CAMELS, tmp_path / "camels", tmp_path / "data" / "made", cell="0.5", reach="2")
    read(CAMELS, tmp_path / "camels", tmp_path / "data" / "made", cell="0.5", reach="2", missing="-99.99")
    order = [ids.index(each) for each in sorted(ids)]
    found = opened_flow(tmp_path / "data")
    known = np.delete(np.arange(len(DAYS)), 7)
    np.testing.assert_allclose(found[known], flows()[known][:, order], rtol=1e-3)


def test_a_catchment_without_flow_in_a_split_is_left_out_and_told(tmp_path: Path) -> None:
    write_caravan(tmp_path / "caravan", "csv")
    path = tmp_path / "caravan" / "timeseries" / "csv" / "lamah" / "lamah_7.csv"
    table = pd.read_csv(path)
    table.loc[95:, "streamflow"] = np.nan
    table.to_csv(path, index=False)
    periods = {"train": "2001-01-01:2001-03-31", "val": "2001-04-08:2001-04-30"}
    told = read(CARAVAN, tmp_path / "caravan", tmp_path / "made", cell="0.5", **periods)
    assert "left out, for they have no river_flow in a split: lamah_7" in told and "3 catchments" in told


def test_what_lacks_is_named(tmp_path: Path) -> None:
    write_caravan(tmp_path / "caravan", "csv")
    with pytest.raises(
        ConfigError, match=r"catchments must be identifiers of the source or patterns, got grdc_\*"
    ):
        read(CARAVAN, tmp_path / "caravan", tmp_path / "made", catchments="grdc_*")
    for path in (tmp_path / "caravan" / "attributes").rglob("attributes_other_*.csv"):
        path.unlink()
    with pytest.raises(
        DataError, match="positions of gauges must be in the attributes, as gauge_lon and gauge_lat"
    ):
        read(CARAVAN, tmp_path / "caravan", tmp_path / "made")
    with pytest.raises(DataError, match="must be a folder, got none"):
        read(CARAVAN, tmp_path / "nowhere", tmp_path / "made")
