"""A country that is not Great Britain, from its files to the best trial."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import zarr
from local_lanes import local_lanes
from typer.testing import CliRunner

from tests.trainables.water_mae.another_country import (
    DAYS,
    IDS,
    SPACE,
    flows,
    weather,
    write_attributes,
    write_country,
    write_fields,
    write_flows,
)
from thalweg.cli.app import app
from thalweg.errors import ConfigError, DataError, ThalwegError
from trainables.water_mae.config import PRESETS
from trainables.water_mae.data.windows import open_data
from trainables.water_mae.explore import explore
from trainables.water_mae.importing.water_folder import read
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs, Modality
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.task import WaterMAETask

ROWS = (
    Modality(name="precipitation", kind="field", unit="mm/day"),
    Modality(name="temperature", kind="field", unit="degC"),
    Modality(name="river_flow", kind="series", unit="mm/day", transform="log"),
)
KNOBS = DataKnobs(
    modalities=ROWS,
    attributes=("area", "elev_mean", "aridity"),
    patch_size=5,
    sequence_length=4,
    stride=2,
)


@pytest.fixture
def country(tmp_path: Path) -> Path:
    write_country(tmp_path / "files")
    return tmp_path / "files"


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_a_country_is_imported_searched_and_its_best_trial_is_told(
    country: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, uri = tmp_path / "data", f"sqlite:///{tmp_path / 'mlflow.db'}"
    told = command("data", "import", "water-mae", country, "--as", "country", "--data", root)
    assert "a grid of 19 x 22 cells, 380 of them land; 4 catchments" in told
    assert "temperature (field): " in told and "converted from K to degC" in told
    assert "Modality(name='river_flow'" in told and "'aridity'" in told
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "rivers.py").write_text(SPACE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with local_lanes():
        command("search", "lab.rivers", "--output", tmp_path / "runs", "--data", root, "--tracking-uri", uri)
    best = command("best", "lab.rivers", "--output", tmp_path / "runs")
    assert "skill" in best and "lr" in best
    for name in ("lab.rivers", "lab"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_country_is_shown_and_its_reconstructions_are_drawn(country: Path, tmp_path: Path) -> None:
    """Without positions of gauges, evaporation or the attributes of Great Britain."""
    root, drawn, shown = (tmp_path / name for name in ("data", "drawn", "shown"))
    read(country, root / "country")
    drawn.mkdir()
    shown.mkdir()
    config = PRESETS["tiny"].vary(dataset="country", data=KNOBS)
    task = WaterMAETask(config)
    data = task.open(root)
    with torch.no_grad():
        task.draw(task.build(task.facts(data)), data, drawn)
    names = {"maps_precipitation.png", "maps_temperature.png", "maps_river_flow.png", "hydrographs.png"}
    assert {path.name for path in drawn.iterdir()} == names
    found = explore(root / "country", shown)
    assert "4 catchments" in found.report and "degC" in found.report
    maps = {path.stem for path in (shown / "modalities").iterdir()}
    assert maps == {"precipitation", "temperature", "river_flow"}
    listed = pd.read_csv(shown / "catchments.csv", index_col="id")
    assert sorted(listed.index) == sorted(IDS) and {"area", "elev_mean", "aridity"} <= set(listed)


def test_a_grid_of_one_patch_is_refused_before_training(country: Path, tmp_path: Path) -> None:
    assert '"patch_size": 5,' in read(country, tmp_path / "country")
    config = PRESETS["tiny"].vary(
        dataset="country", data=KNOBS.model_copy(update={"patch_size": 40, "land_threshold": 0.1})
    )
    with pytest.raises(
        DataError, match=r"at least 2 patches .*, got 1 of 40 x 40 cells in country; lower data.patch"
    ):
        WaterMAETask(config).open(tmp_path)


@pytest.mark.parametrize(("unit", "is_flux"), [("mm/day", True), ("mm", False)])
def test_a_row_without_a_unit_is_an_amount_per_day_if_the_files_say_so(
    unit: str, is_flux: bool, country: Path, tmp_path: Path
) -> None:
    (country / "weather.nc").unlink()
    write_fields(country / "weather.nc", ("snow",), {"snow": unit})
    read(country, tmp_path / "country")
    rows = (Modality(name="snow", kind="field", low=0), ROWS[2])
    config = PRESETS["tiny"].vary(dataset="country", data=KNOBS.model_copy(update={"modalities": rows}))
    task = WaterMAETask(config.vary(model={"interpolation": "added"}))
    assert not config.modality_set["snow"].is_flux
    data = task.open(tmp_path)
    model = task.build(task.facts(data))
    assert isinstance(model, MaskedAutoencoder) and model.interpolation is not None
    for known in (data.modalities, model.interpolation.modalities):
        assert (known["snow"].unit, known["snow"].is_flux) == (unit, is_flux)


def test_what_was_imported_is_what_the_files_hold(country: Path, tmp_path: Path) -> None:
    read(country, tmp_path / "data" / "country", train="2001-01-01:2001-03-31", val="2001-04-01:2001-04-30")
    data = open_data(tmp_path / "data", "country", KNOBS)
    assert data.catchments == tuple(sorted(IDS))
    assert data.units == ("mm/day", "degC", "mm/day")
    with h5py.File(next((tmp_path / "data" / "country").glob("temperature_val_*.h5"))) as file:
        days = file["data"][:]
        assert file["data"].attrs["units"] == "degC"
    expected = weather()["temperature"][-30:]
    np.testing.assert_allclose(days[:, :, 2:], expected[:, :, 2:], atol=1e-3)
    flow = np.log(flows()[:90, list(map(IDS.index, data.catchments))] + 1e-6)
    assert data.mean[2] == pytest.approx(flow.mean(), rel=1e-5)
    assert data.std[2] == pytest.approx(flow.std(), rel=1e-5)
    table = pd.read_csv(country / "attributes.csv", index_col="gauge_id").loc[list(data.catchments)]
    scores = ((table - table.mean()) / table.std(ddof=0)).to_numpy()
    np.testing.assert_allclose(data.geometry.static.reshape(-1, 3)[:4], scores, rtol=1e-5)
    assert data.geometry.num_members == 2 and any("vector patches hold 2" in note for note in data.notes)


def test_a_configuration_of_other_modalities_is_told_which_there_are(country: Path, tmp_path: Path) -> None:
    """All at once, without training."""
    read(country, tmp_path / "data" / "country")
    with pytest.raises(DataError, match="got 3 faults") as caught:
        open_data(tmp_path / "data", "country", DataKnobs())
    told = str(caught.value)
    assert "soil_moisture_train_*.h5" in told and "soil_moisture_val_*.h5" in told
    assert "got precipitation, temperature; list in data.modalities what it holds" in told
    others = KNOBS.model_copy(
        update={"attributes": ("area", "bfihost"), "modalities": (*ROWS, PUBLISHED_SET["evaporation"])}
    )
    with pytest.raises(DataError, match=r"(?s)got 2 faults:.* got no evaporation.* got no bfihost"):
        open_data(tmp_path / "data", "country", others)


def test_zarr_and_other_names_give_the_same_days(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write_country(one)
    other.mkdir()
    names = {"precipitation": "pr", "temperature": "tas", "y": "lat", "x": "lon"}
    with xr.open_dataset(one / "weather.nc", mask_and_scale=False, decode_times=False) as stored:
        fields = stored.rename(names).load()
    group = zarr.open_group(other / "w.zarr", mode="w", zarr_format=2)  # whose fill value is 0 by itself
    for name, each in fields.variables.items():
        array = group.create_array(str(name), shape=each.shape, dtype=each.dtype)
        array[:] = each.values
        known = {key: value for key, value in each.attrs.items() if key != "_FillValue"}
        array.attrs.update({**known, "_ARRAY_DIMENSIONS": list(map(str, each.dims))})
    assert (fields["pr"] == 0).any()
    write_flows(other / "flow.csv", "q")
    write_attributes(other / "attributes.csv")
    read(one, tmp_path / "data" / "one")
    read(other, tmp_path / "data" / "other", fields="precipitation=pr,temperature=tas", series="river_flow=q")
    first, second = (open_data(tmp_path / "data", name, KNOBS) for name in ("one", "other"))
    assert first.fingerprint == second.fingerprint


def test_discharge_becomes_depth_by_the_area(country: Path, tmp_path: Path) -> None:
    areas = pd.read_csv(country / "attributes.csv", index_col="gauge_id")["area"].loc[list(IDS)].to_numpy()
    write_flows(country / "flow.csv", "q", flows() * areas / 86.4)
    told = read(country, tmp_path / "made", series="river_flow=q", declared="river_flow=m3/s")
    assert "converted from m3/s to mm/day" in told
    table = pd.read_parquet(next((tmp_path / "made").glob("series_*.parquet")))
    found = table.pivot(index="date", columns="ID", values="riverflow")[list(IDS)].to_numpy()
    np.testing.assert_allclose(found, flows(), rtol=1e-4)


EARLY = {"train": "1999-01-01:2001-02-01", "val": "2001-03-01:2001-03-09"}


def shifted_grid(folder: Path) -> None:
    units = {"temperature": "degC"}
    write_fields(folder / "weather.nc", ("precipitation",), {"precipitation": "mm/day"})
    write_fields(folder / "temperature.nc", ("temperature",), units)
    fields = xr.load_dataset(folder / "temperature.nc")
    fields.assign_coords(x=fields["x"] + 500).to_netcdf(folder / "temperature.nc", engine="h5netcdf")


def damaged_units(folder: Path) -> None:
    units = {"precipitation": "hPa", "temperature": "K"}
    write_fields(folder / "weather.nc", tuple(units), units)


def without_a_gauge(folder: Path) -> None:
    table = pd.read_csv(folder / "attributes.csv")
    table[table["gauge_id"] != IDS[1]].to_csv(folder / "attributes.csv", index=False)


def hours(folder: Path) -> None:
    fields = xr.load_dataset(folder / "weather.nc")
    fields["time"] = pd.date_range("2001-01-01", periods=len(DAYS), freq="h")
    fields.to_netcdf(folder / "weather.nc", engine="h5netcdf")


def other_calendar(folder: Path) -> None:
    fields = xr.load_dataset(folder / "weather.nc", decode_times=False)
    fields["time"].attrs["calendar"] = "360_day"
    fields.to_netcdf(folder / "weather.nc", engine="h5netcdf")


def without_gauges(folder: Path) -> None:
    pd.read_csv(folder / "flow.csv").drop(columns="gauge_id").to_csv(folder / "flow.csv", index=False)


def negative_flow(folder: Path) -> None:
    values = flows()
    values[3, 2] = -9999
    write_flows(folder / "flow.csv", values=values)


def capital_gauges(folder: Path) -> None:
    table = pd.read_csv(folder / "flow.csv", dtype={"gauge_id": str})
    table.assign(gauge_id=table["gauge_id"].str.upper()).to_csv(folder / "flow.csv", index=False)


def square_metres(folder: Path) -> None:
    table = pd.read_csv(folder / "attributes.csv", dtype={"gauge_id": str})
    table.assign(area=table["area"] * 1e6).to_csv(folder / "attributes.csv", index=False)


def empty_table(folder: Path) -> None:
    pd.read_csv(folder / "flow.csv").iloc[:0].to_csv(folder / "flow.csv", index=False)


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (capital_gauges, {"declared": "river_flow=m3/s"}, "the same in both tables, CAMELS_.* or camels_"),
        (
            negative_flow,
            {"declared": "river_flow=m3/s"},
            "missing=NUMBER, the number before it was converted from m3/s",
        ),
        (square_metres, {"declared": "river_flow=m3/s"}, "area must be in km2, got .* convert it"),
        (empty_table, {}, r"flow.csv must be dates .*, got no row"),
        (damaged_units, {}, r"precipitation in .*weather.nc must be in a unit that can become mm/day, got .* 'hPa'"),
        (shifted_grid, {}, r"one grid, got other coordinates in .*weather.nc \(precipitation\) than in .*temp"),
        (without_a_gauge, {}, "every catchment must have a row of attributes, got none for lamah_12"),
        (negative_flow, {}, r"river_flow in .*files/flow.csv must lie within 0 and 5000 mm/day, got 1 .* -9999 on"),
        (negative_flow, {}, "where that means no data name it with --option missing=NUMBER"),
        (without_gauges, {}, r"flow.csv must have a column that identifies gauges.* several rows of 2001-01-01"),
        (hours, {}, r"must be daily and in order, got 2001-01-01T00:00 before 2001-01-01T01:00; .* as `cdo daymean`"),
        (other_calendar, {}, "times of the standard calendar, .* got the calendar 360_day"),
        (write_country, {"fields": "snow=swe"}, r"hold the field swe \(snow\), got none of that name; there are p"),
        (write_country, {"series": "gwl"}, "hold the series gwl, got none of that name; there are riverflow"),
        (write_country, {"attributes": "area,bfi"}, r"must be columns of numbers .*, got bfi; there are area"),
        (write_country, {"train": "2001-01-01:2001-02-01"}, "train and val must be given together"),
        (write_country, EARLY, "every day of train, got none on 731 days, first 1999-01-01"),
        (write_country, {"units": "soil=mm"}, "units must name fields or series that are imported, got soil"),
        (write_country, {"declared": "river_flow=m3/s", "area": "size"}, "must hold areas in km2, got no size"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(
    country: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    options: dict[str, Any],
    message: str,
) -> None:
    damage(country)
    with pytest.raises(ThalwegError, match=message) as caught:
        read(country, tmp_path / "made", **options)
    assert isinstance(caught.value, ConfigError | DataError)
    assert not (tmp_path / "made").exists()


def test_an_unknown_attribute_is_told(country: Path, tmp_path: Path) -> None:
    table = pd.read_csv(country / "attributes.csv", dtype={"gauge_id": str}).set_index("gauge_id")
    assert "unknown for" not in read(country, tmp_path / "whole")
    table.loc[IDS[1], "aridity"] = np.nan
    table.to_csv(country / "attributes.csv")
    told = read(country, tmp_path / "made")
    assert f"aridity: unknown for {IDS[1]}, read as the mean over catchments" in told


def test_other_files_are_left_out_and_told(country: Path, tmp_path: Path) -> None:
    (country / "LICENCE.txt").write_text("These data, and all others,\nare free, as in 1999\n")
    (country / "gauges.xlsx").write_bytes(b"PK\3\4")
    assert "not read: LICENCE.txt, gauges.xlsx" in read(country, tmp_path / "made")


def test_a_semicolon_table_for_each_gauge_is_read(country: Path, tmp_path: Path) -> None:
    """As LamaH, with the day in three columns."""
    (country / "flow.csv").unlink()
    days = pd.DatetimeIndex(DAYS.astype("datetime64[ns]"))
    for number, gauge in enumerate(IDS):
        table = pd.DataFrame(
            {"YYYY": days.year, "MM": days.month, "DD": days.day, "qobs": flows()[:, number]}
        )
        table.to_csv(country / f"ID_{gauge}.csv", sep=";", index=False)
    read(country, tmp_path / "data" / "made", series="river_flow=qobs", declared="river_flow=mm/day")
    data = open_data(tmp_path / "data", "made", KNOBS)
    assert data.catchments == tuple(sorted(IDS))
    flow = np.log(flows()[:90, list(map(IDS.index, data.catchments))] + 1e-6)
    assert data.mean[2] == pytest.approx(flow.mean(), rel=1e-5)


def test_remarks_are_left_out_and_a_number_that_is_none_is_told(country: Path, tmp_path: Path) -> None:
    table = pd.read_csv(country / "flow.csv")
    table["quality"] = "good"
    table.to_csv(country / "flow.csv", index=False)
    assert "quality" not in read(country, tmp_path / "made")
    table["riverflow"] = table["riverflow"].astype(str)
    table.loc[7, "riverflow"] = "dry?"
    table.to_csv(country / "flow.csv", index=False)
    with pytest.raises(DataError, match=r"riverflow in .*flow.csv must be numbers, got 'dry\?' in 1 rows"):
        read(country, tmp_path / "again")


def test_all_that_is_wrong_is_told_at_once(country: Path, tmp_path: Path) -> None:
    without_a_gauge(country)
    negative_flow(country)
    fields = xr.load_dataset(country / "weather.nc")
    fields["temperature"][5, 7, 7] = 9000.0
    fields.to_netcdf(country / "weather.nc", engine="h5netcdf")
    with pytest.raises(DataError, match="got 3 faults") as caught:
        read(country, tmp_path / "made")
    for part in ("temperature in", "river_flow in", "row of attributes"):
        assert part in str(caught.value)


def test_the_familys_own_layout_is_checked_and_copied(country: Path, tmp_path: Path) -> None:
    read(country, tmp_path / "data" / "first")
    told = read(tmp_path / "data" / "first", tmp_path / "data" / "second")
    assert "a grid of 19 x 22 cells" in told and "river_flow" in told
    names = {path.name for path in (tmp_path / "data" / "first").iterdir()} - {"README.txt"}
    assert {path.name for path in (tmp_path / "data" / "second").iterdir()} == names
    first, second = (open_data(tmp_path / "data", name, KNOBS) for name in ("first", "second"))
    assert first.fingerprint == second.fingerprint
    with h5py.File(next((tmp_path / "data" / "first").glob("precipitation_train_*.h5")), "r+") as file:
        file["data"][2, 4, 8] = 1e5
    with pytest.raises(DataError, match=r"precipitation in .* must lie within 0 and 2000 mm/day"):
        read(tmp_path / "data" / "first", tmp_path / "data" / "third")


def test_series_come_from_netcdf_and_wide_tables_too(country: Path, tmp_path: Path) -> None:
    (country / "flow.csv").unlink()
    wide = pd.DataFrame(flows(), columns=IDS)
    wide.insert(0, "date", DAYS.astype(str))
    wide.to_csv(country / "q.csv", index=False)
    level = xr.Dataset(
        {"gwl": (("gauge_id", "time"), flows(5).T, {"units": "m"})},
        coords={"time": DAYS.astype("datetime64[ns]"), "gauge_id": list(IDS)},
    )
    level.to_netcdf(country / "groundwater.nc", engine="h5netcdf")
    told = read(
        country,
        tmp_path / "data" / "made",
        series="river_flow=q,groundwater=gwl",
        declared="river_flow=mm/day",
    )
    assert "groundwater (series)" in told
    rows = (*ROWS, Modality(name="groundwater", kind="series", unit="m"))
    data = open_data(tmp_path / "data", "made", KNOBS.model_copy(update={"modalities": rows}))
    assert data.modalities.series == ("river_flow", "groundwater") and data.units[-1] == "m"
    assert data.mean[-1] == pytest.approx(flows(5)[:90].mean(), rel=1e-5)
    other = Modality(name="groundwater", kind="series", unit="cm")
    with pytest.raises(DataError, match=r"groundwater in .* must be in cm, got the declared unit 'm'"):
        open_data(tmp_path / "data", "made", KNOBS.model_copy(update={"modalities": (*ROWS, other)}))


def test_transforms_floors_and_units_reach_the_prepared_days(country: Path, tmp_path: Path) -> None:
    """Rain as a logarithm, a floor for rivers that fall dry, soil moisture as a series in per cent."""
    rain = weather()["precipitation"]
    dry = flows()
    dry[::5, 0] = 0
    write_flows(country / "flow.csv", values=dry)
    soil = np.random.default_rng(4).uniform(10, 60, dry.shape).astype(np.float32)
    write_flows(country / "soil.csv", "sm", soil)
    told = read(
        country,
        tmp_path / "data" / "made",
        series="river_flow=riverflow,soil_moisture=sm",
        declared="soil_moisture=%",
    )
    assert "soil_moisture (series): " in told and "converted from % to 1" in told
    rows = (
        Modality(name="precipitation", kind="field", unit="mm/day", transform="log", floor=0.1),
        Modality(name="soil_moisture", kind="series", unit="1"),
        Modality(name="river_flow", kind="series", unit="mm/day", transform="log", floor=0.5),
    )
    data = open_data(tmp_path / "data", "made", KNOBS.model_copy(update={"modalities": rows}))
    land = np.isfinite(rain[0])
    expected = np.log(rain[:90][:, land] + 0.1)
    assert data.mean[0] == pytest.approx(expected.mean(), rel=1e-5)
    assert data.std[0] == pytest.approx(expected.std(), rel=1e-4)
    row, col = data.geometry.pixel_positions[0, 8]
    np.testing.assert_allclose(
        data.images[:, 0, 0, 8] * data.std[0] + data.mean[0], np.log(rain[:, row, col] + 0.1), atol=1e-4
    )
    assert data.mean[1] == pytest.approx(soil[:90].mean() / 100, rel=1e-5)
    assert data.mean[2] == pytest.approx(np.log(dry[:90] + 0.5).mean(), rel=1e-5)
    task = WaterMAETask(PRESETS["tiny"].vary(data=KNOBS.model_copy(update={"modalities": rows})))
    assert task.facts(data)["floors"] == {"precipitation": 0.1, "river_flow": 0.5}
    assert task.facts(data)["units"] == {
        "precipitation": "mm/day",
        "soil_moisture": "1",
        "river_flow": "mm/day",
    }


def two_series(folder: Path) -> None:
    table = pd.read_csv(folder / "flow.csv", dtype={"gauge_id": str})
    table.assign(q=table.pop("riverflow"), gwl=3.0).to_csv(folder / "flow.csv", index=False)


BEFORE = {"train": "1990-01-01:1990-12-31", "val": "1991-01-01:1991-12-31"}


def test_an_axis_of_time_that_lacks_the_splits_is_one_fault_of_all_fields(
    country: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(country, tmp_path / "made", series="none", **BEFORE)
    assert str(caught.value) == (
        f"precipitation, temperature in {country / 'weather.nc'} must have every day of train and val, got none on "
        "730 days, first 1990-01-01; add them, or choose other days"
    )


def test_an_axis_of_time_that_lacks_the_splits_is_one_fault_of_all_series(
    country: Path, tmp_path: Path
) -> None:
    """It speaks of what the user calls the series, whatever the columns of the new data set are."""
    two_series(country)
    with pytest.raises(DataError) as caught:
        read(
            country,
            tmp_path / "made",
            fields="none",
            series="river_flow=q,groundwater=gwl",
            declared="groundwater=m",
            **BEFORE,
        )
    assert str(caught.value).startswith(
        "every catchment must have some river_flow and groundwater within the splits, got none for "
    )
