"""Imports of small sources through the door that the CLI takes: what lands on disk, and the report."""

from collections.abc import Callable
from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from tests.trainables.geo_contrastive.importing.conftest import DAILY, Bring, Field, Make, save
from thalweg.datasets.importing import import_source
from thalweg.errors import ConfigError, DataError
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.importing import daily


def test_axes_are_turned_into_our_order(make: Make, bring: Bring, field: Field, tmp_path: Path) -> None:
    dataset = make(DAILY)
    report, folder = bring(save(dataset, tmp_path / "a.nc"))
    found = field(folder, "t2m")
    assert found.dims == ("time", "longitude", "latitude") and found.dtype == np.float32
    np.testing.assert_array_equal(found["longitude"], -180 + 30 * np.arange(12))
    np.testing.assert_array_equal(found["latitude"], [-75, -45, -15, 15, 45, 75])
    expected = dataset["t2m"].assign_coords(longitude=(dataset["longitude"] + 180) % 360 - 180)
    expected = expected.sortby(["longitude", "latitude"]).transpose("time", "longitude", "latitude")
    np.testing.assert_array_equal(found, expected)
    assert found["time"].values[1].astype("datetime64[D]") == np.datetime64("2001-01-02")
    assert report.startswith(
        "1 variable, 12 days from 2001-01-01 to 2001-01-12, calendar standard, from 1 file (netCDF-4)"
    )
    assert "grid 12x6: longitude -180 to 150, latitude -75 to 75 degrees, around the globe" in report
    assert (folder / "README.txt").read_text().startswith(report)


def test_order_of_axes_and_dimensions_does_not_matter(
    make: Make, bring: Bring, prepared: Callable[[Path], FieldData], tmp_path: Path
) -> None:
    dataset = make(DAILY)
    turned = dataset.isel(latitude=slice(None, None, -1)).transpose("longitude", "time", "latitude")
    turned = turned.assign_coords(longitude=(turned["longitude"] + 180) % 360 - 180).sortby("longitude")
    turned = turned.rename(latitude="y_axis", longitude="x_axis")
    turned["x_axis"].attrs, turned["y_axis"].attrs = {"units": "degree_E"}, {"standard_name": "latitude"}
    fingerprints = {
        prepared(bring(save(each, tmp_path / f"{number}.nc"))[1]).fingerprint
        for number, each in enumerate((dataset, turned))
    }
    assert len(fingerprints) == 1


def test_a_cyclic_longitude_is_taken_once_and_greenwich_is_no_edge(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    _, folder = bring(save(make(DAILY, lons=30.0 * np.arange(13)), tmp_path / "a.nc"))
    assert field(folder, "t2m").shape == (12, 12, 6)
    report, folder = bring(save(make(DAILY, lons=np.array([0.0, 2, 4, 354, 356, 358])), tmp_path / "b.nc"))
    np.testing.assert_array_equal(field(folder, "t2m")["longitude"], [-6, -4, -2, 0, 2, 4])
    assert "around the globe" not in report


def test_hours_become_means_of_utc_days_in_float64(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(np.arange(3, 24 * 8), name="x") + np.float32(1e5)
    report, folder = bring(save(dataset, tmp_path / "a.nc"))
    found = field(folder, "x").values
    hours = dataset["x"].transpose("time", "longitude", "latitude").values.astype(np.float64)[21:]
    expected = np.roll(hours.reshape(7, 24, 12, 6).mean(axis=1), 6, axis=1)[:, :, ::-1]
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert "means of 24 values, 1 h apart" in report and "2001-01-01 has 21 of 24 times" in report


def test_amounts_become_sums_of_the_hours_before_their_times(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(np.arange(1, 24 * 6 + 1), name="tp")
    dataset["tp"].values[:] = 0
    dataset["tp"].values[23] = 0.024  # over the last hour of 1 January, stamped at midnight
    dataset["tp"].attrs = {"units": "m"}
    path = save(dataset, tmp_path / "a.nc")
    with pytest.raises(
        DataError, match=r"whether tp in 'm' every 1 h is an amount, got .*sums=tp, means=tp or"
    ):
        bring(path)
    report, folder = bring(path, sums="tp")
    found = field(folder, "tp").values
    np.testing.assert_allclose(found[0], 0.024, rtol=1e-6)
    assert len(found) == 6 and (found[1:] == 0).all()
    assert "sums of 24 amounts, each over the 1 h before its time" in report
    means = field(bring(path, means="tp", variables="tp")[1], "tp").values
    np.testing.assert_allclose(means[0], 0.001, rtol=1e-6)  # its own stamp belongs to 2 January
    for options in ({"sums": "rain"}, {"sums": "tp", "means": "tp"}):
        with pytest.raises(
            ConfigError, match="sums, means and running must name variables that are imported"
        ):
            bring(path, **options)
    dataset["tp"].attrs["cell_methods"] = "time: sum"
    told = field(bring(save(dataset, tmp_path / "b.nc"))[1], "tp").values
    np.testing.assert_array_equal(told, found)


def test_bounds_tell_the_day_wherever_the_time_stands(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(np.arange(1, 8) * 24)  # stamped at the end of the day
    dataset["time"].attrs["bounds"] = "time_bnds"
    dataset["time_bnds"] = (("time", "bnds"), np.stack([np.arange(7) * 24, np.arange(1, 8) * 24], axis=1))
    report, _ = bring(save(dataset, tmp_path / "a.nc"))
    assert "7 days from 2001-01-01 to 2001-01-07" in report
    hourly = make(np.arange(1, 24 * 6 + 1), name="tp")
    hourly["tp"].attrs = {"units": "m", "cell_methods": "time: sum"}
    hourly["tp"].values[:] = 1e-3
    hourly["time"].attrs["bounds"] = "time_bnds"
    hourly["time_bnds"] = (("time", "bnds"), np.arange(144)[:, None] + np.arange(2))
    report, folder = bring(save(hourly, tmp_path / "b.nc"))
    assert "6 days from 2001-01-01" in report and "over the 1 h within its bounds" in report
    np.testing.assert_allclose(field(folder, "tp"), 0.024, rtol=1e-5)


def test_packed_rain_just_below_zero_is_none(
    make: Make, bring: Bring, field: Field, prepared: Callable[[Path], FieldData], tmp_path: Path
) -> None:
    dataset = make(DAILY, name="rain")
    dataset["rain"].values[:] = np.maximum(dataset["rain"].values - 280, -0.004)
    dataset["rain"].attrs["units"] = "mm"
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 0.006, "_FillValue": np.int16(-32768)}
    report, folder = bring(save(dataset, tmp_path / "a.nc", **packing))
    dry = int((dataset["rain"].values < 0.001).sum())  # packed as -0.004
    assert 1 < dry < dataset["rain"].size
    assert (
        f"rain: {dry} values, which rounding had moved beyond their bounds, were set to the bound" in report
    )
    assert field(folder, "rain").values.min() == 0
    assert prepared(folder).variables["rain"].unit == "mm"


@pytest.mark.parametrize(
    ("name", "unit", "most", "rounding", "fault"),
    [
        ("pr", "kg m-2 s-1", 8e-4, -1.2e-10, -1e-6),
        ("pr", "m s-1", 8e-7, -1.2e-13, -1e-9),
        ("tp", "mm", 80.0, -1e-4, -1e-2),
        ("hus", "kg kg-1", 9e-3, -1e-9, -0.1),
        ("hur", "%", 90.0, -1e-6, -11.0),
    ],
)
def test_what_cannot_be_negative_is_0_within_rounding_of_its_unit_and_refused_beyond(
    make: Make,
    bring: Bring,
    field: Field,
    tmp_path: Path,
    name: str,
    unit: str,
    most: float,
    rounding: float,
    fault: float,
) -> None:
    dataset = make(DAILY, name=name)
    values = dataset[name].values
    values[:] = np.linspace(most / 10, most, values.size).reshape(values.shape)
    dataset[name].attrs["units"] = unit
    values[2, 3:5, 1] = rounding
    report, folder = bring(save(dataset, tmp_path / "rounded.nc"))
    found = field(folder, name).values
    assert (found == 0).sum() == 2 and found.min() == 0 and found.max() == np.float32(most)
    assert f"{name}: 2 values, which rounding had moved beyond their bounds, were set" in report
    values[2, 3, 1] = fault
    with pytest.raises(
        DataError, match=rf"{name} \(.*\) in .* must lie within .* got 1 other value in 1 place"
    ):
        bring(save(dataset, tmp_path / "wrong.nc"))


def test_air_just_below_0_degrees_is_left_as_it_is(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(DAILY)
    dataset["t2m"].attrs["units"] = "degC"
    dataset["t2m"].values[:] = -1e-6
    report, folder = bring(save(dataset, tmp_path / "a.nc"))
    assert (field(folder, "t2m").values == np.float32(-1e-6)).all() and "rounding" not in report


def test_a_day_may_begin_elsewhere(make: Make, bring: Bring, tmp_path: Path) -> None:
    path = save(make(np.arange(24 * 8)), tmp_path / "a.nc")
    report, _ = bring(path, day_starts="9")
    assert "7 days from 2001-01-01" in report
    for wrong in ("24", "-1", "noon"):
        with pytest.raises(ConfigError, match="day_starts must be an hour from 0 to 23"):
            bring(path, day_starts=wrong)


def test_a_level_must_be_named(make: Make, bring: Bring, field: Field, tmp_path: Path) -> None:
    dataset = make(DAILY, levels=[50, 850], name="t")
    path = save(dataset, tmp_path / "a.nc")
    with pytest.raises(DataError, match=r"the level of t in .* must be named, got none for 50 hPa, 850 hPa"):
        bring(path)
    report, folder = bring(path, variables="t850=t@85000Pa,t50=t@50hPa")
    assert float(field(folder, "t850")["level"]) == 850 and "t850: t at 850 hPa" in report
    expected = np.roll(dataset["t"].values[:, 1].swapaxes(1, 2), 6, axis=1)[:, :, ::-1]
    np.testing.assert_array_equal(field(folder, "t850"), expected)
    with pytest.raises(ConfigError, match="must have different names, got 't' twice"):
        bring(path, variables="t@50hPa,t@850hPa")
    with pytest.raises(DataError, match="must have the level 700 hPa, got 50 hPa, 850 hPa"):
        bring(path, variables="t@700hPa")
    with pytest.raises(
        DataError, match=r"must have the level 850 without a unit, got 50 hPa, .* such as @850hPa"
    ):
        bring(path, variables="t@850")


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_calendars_of_models_stay(
    make: Make, bring: Bring, prepared: Callable[[Path], FieldData], tmp_path: Path, calendar: str
) -> None:
    dataset = make(np.arange(0, 24 * 400, 24) + 12, calendar=calendar, units="hours since 2000-01-01")
    report, folder = bring(save(dataset, tmp_path / "a.nc"))
    data = prepared(folder)
    assert f"calendar {calendar}" in report and (np.diff(data.day) == 1).all()
    assert data.year[[0, -1]].tolist() == [2000, 2001] and data.day_of_year[0] == 0


def test_packed_integers_are_unpacked_and_fills_are_missing(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(DAILY)
    dataset["t2m"].values[3, 2, 1] = np.nan
    packing = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 280.0, "_FillValue": np.int16(-32768)}
    report, folder = bring(save(dataset, tmp_path / "a.nc", **packing))
    expected = np.roll(dataset["t2m"].values.swapaxes(1, 2), 6, axis=1)[:, :, ::-1]
    np.testing.assert_allclose(field(folder, "t2m"), expected, atol=0.00102)
    assert np.isnan(field(folder, "t2m")).sum() == 1 and "0.1 % missing" in report


def test_unsigned_bytes_are_read_as_such(make: Make, bring: Bring, field: Field, tmp_path: Path) -> None:
    path = save(make(DAILY), tmp_path / "a.nc")
    with h5netcdf.File(path, "a") as file:
        packed = file.create_variable("p", ("time", "latitude", "longitude"), np.int8)
        packed[...] = np.full((12, 6, 12), -56, np.int8)  # 200 without a sign
        packed.attrs.update({"_Unsigned": "true", "scale_factor": 0.5, "add_offset": 100.0})
    np.testing.assert_array_equal(field(bring(path, variables="p")[1], "p"), 200)


def test_versions_of_era5_are_merged_and_their_overlap_told(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    first = make(DAILY)
    final, early = first.copy(deep=True), first.copy(deep=True) + 1
    final["t2m"].values[8:] = np.nan
    early["t2m"].values[:6] = np.nan
    both = xr.concat([early, final], "expver").assign_coords(expver=[5, 1]).transpose("time", "expver", ...)
    both["t2m"].attrs["units"] = "K"
    report, folder = bring(save(both, tmp_path / "a.nc"))
    expected = np.roll(
        np.where(np.arange(12)[:, None, None] < 8, first["t2m"], first["t2m"] + 1).swapaxes(1, 2), 6, 1
    )
    np.testing.assert_allclose(field(folder, "t2m"), expected[:, :, ::-1])
    assert "t2m: 2 times have two versions (expver), of which the final one is taken" in report


def test_new_files_of_era5_are_read(make: Make, bring: Bring, field: Field, tmp_path: Path) -> None:
    dataset = make(
        np.arange(24 * 6), time="valid_time", units="hours since 1970-01-01", calendar="proleptic_gregorian"
    )
    dataset = dataset.assign_coords(number=0, expver=("valid_time", ["0001"] * 144))
    dataset["t2m"].attrs |= {"GRIB_stepType": "instant", "long_name": "2 metre temperature"}
    report, folder = bring(save(dataset, tmp_path / "a.nc"))
    assert field(folder, "t2m").shape == (6, 12, 6)
    assert "t2m: 2 metre temperature, means of 24 values, 1 h apart" in report


def test_a_folder_of_years_is_one_series_and_a_double_day_is_refused(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    whole = make(DAILY)
    save(whole.isel(time=slice(5, None)), source / "a_later.nc")
    save(whole.isel(time=slice(0, 5)), source / "b_earlier.nc")
    (source / "notes.txt").write_text("not a field")
    report, folder = bring(source)
    np.testing.assert_array_equal(
        field(folder, "t2m"), field(bring(save(whole, tmp_path / "c.nc"))[1], "t2m")
    )
    assert "from 2 files" in report
    save(whole.isel(time=slice(4, 7)), source / "c_twice.nc")
    with pytest.raises(DataError, match=r"each time of t2m must be there once, got 3 twice: 2001-01-05 00:00, .* in "
                       r"b_earlier\.nc and c_twice\.nc"):  # fmt: skip
        bring(source)


def test_files_of_one_variable_must_agree(make: Make, bring: Bring, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    save(make(DAILY), source / "a.nc")
    other = make(DAILY + 24 * 12)
    other["t2m"].attrs["units"] = "kelvin"
    save(other, source / "b.nc")
    assert "24 days" in bring(source)[0]
    del other["t2m"].attrs["units"]
    save(other, source / "b.nc")
    with pytest.raises(DataError, match=r"got K in a\.nc and none in b\.nc; write the attribute units"):
        bring(source)
    other["t2m"].attrs["units"] = "degC"
    save(other, source / "b.nc")
    with pytest.raises(DataError, match=r"must have the same unit, got K in a\.nc and degC in b\.nc"):
        bring(source)
    save(make(DAILY + 24 * 12, lats=np.array([60.0, 0, -60])), source / "b.nc")
    with pytest.raises(DataError, match=r"must have the same grid, got 12x6: .* and 12x3: "):
        bring(source)


def test_variables_keep_their_grids_or_share_one(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    save(make(DAILY), source / "a.nc")
    region = make(DAILY[2:], name="msl", lons=10.0 * np.arange(6), lats=np.array([30.0, 40, 50])) * 350
    region["msl"].attrs["units"] = "Pa"
    save(region, source / "b.nc")
    report, folder = bring(source)
    assert field(folder, "t2m").shape == (10, 12, 6) and field(folder, "msl").shape == (10, 6, 3)
    assert "2 of 12 days were left out, for not all variables have them: msl 10" in report
    assert (
        "followed by more than 1 others without a jump: of forecasts 1, 3, 5, 10 days ahead, val holds"
        in report
    )
    report, folder = bring(source, grid="msl", variables="t2m,msl")
    assert field(folder, "t2m").shape == (10, 6, 3)
    assert "regridded from 12x6" in report and report.count("  grid ") == 1
    assert field(bring(source, grid="3x2")[1], "msl").shape == (10, 3, 2)


def test_equal_shapes_of_different_grids_have_different_names(
    make: Make, bring: Bring, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    save(make(DAILY), source / "a.nc")
    save(make(DAILY, name="b", lats=np.array([80.0, 48, 16, -16, -48, -80])), source / "b.nc")
    report, _ = bring(source)
    assert "grid 12x6: " in report and "grid 12x6_2: " in report


def test_kilometres_are_metres(bring: Bring, field: Field, tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {
            "rain": (
                ("time", "y", "x"),
                np.ones((8, 3, 2), np.float32) * np.arange(8)[:, None, None].astype(np.float32),
            )
        },
        {
            "time": ("time", np.arange(8), {"units": "days since 2001-01-01"}),
            "y": ("y", [50.0, 25, 0], {"units": "km"}),
            "x": ("x", [0.0, 25], {"units": "km"}),
        },
    )
    found = field(bring(save(dataset, tmp_path / "a.nc"))[1], "rain")
    assert found.dims == ("time", "x", "y") and found["y"].values.tolist() == [0, 25_000, 50_000]


def test_large_days_are_read_in_parts(make: Make, bring: Bring, field: Field, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    path = save(make(np.arange(24 * 6)), tmp_path / "a.nc")
    whole = field(bring(path, grid="4x3")[1], "t2m")
    monkeypatch.setattr(daily, "BLOCK_VALUES", 5 * 72)
    monkeypatch.setattr(daily, "_MAX_BLOCK", 5 * 72)
    np.testing.assert_allclose(field(bring(path, grid="4x3")[1], "t2m"), whole, rtol=1e-7)


def test_a_file_is_a_source_of_the_command_line(make: Make, tmp_path: Path) -> None:
    path = save(make(DAILY), tmp_path / "a.nc")
    target, report = import_source("weather-fields", path, name="mine", root=tmp_path / "root")
    assert target == tmp_path / "root" / "geo_contrastive" / "mine" and (target / "t2m.nc").is_file()
    assert "12 days" in report
    with pytest.raises(ConfigError, match="the file or folder of the source must exist"):
        import_source("weather-fields", tmp_path / "b.nc", root=tmp_path / "root")
    with pytest.raises(ConfigError, match="the folder of the source must exist"):
        import_source("gb-hydrology", path, root=tmp_path / "root")


def test_projected_axes_are_in_metres(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(DAILY).rename(latitude="y", longitude="x")
    for units in ("degrees", "rad", "1", ""):
        for axis in ("x", "y"):
            dataset[axis].attrs = {"units": units} if units else {}
        with pytest.raises(DataError, match=rf"x of t2m .* must be in m or km, .* got the units '{units}'"):
            bring(save(dataset, tmp_path / "a.nc"))
    far = dataset.assign_coords(x=1e4 * np.arange(12), y=1e4 * np.arange(6))
    assert "x 0 to 110000, y 0 to 50000 m" in bring(save(far, tmp_path / "b.nc"))[0]
    with pytest.raises(ConfigError, match="must be called other than the axes x and y, got 'y'"):
        bring(tmp_path / "b.nc", variables="y=t2m")


def test_a_rotated_pole_is_known_by_its_grid_mapping(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(DAILY).rename(latitude="rlat", longitude="rlon")
    dataset["rlat"].attrs, dataset["rlon"].attrs = {"axis": "Y"}, {"axis": "X"}
    dataset["t2m"].attrs["grid_mapping"] = "pole"
    dataset["pole"] = ((), 0, {"grid_mapping_name": "rotated_latitude_longitude"})
    with pytest.raises(DataError, match="got one around a rotated pole; regrid it first"):
        bring(save(dataset, tmp_path / "a.nc"))


def test_a_dimension_in_units_of_pressure_is_a_level(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(DAILY, levels=[50, 850], name="t").rename(level="isobaric3")
    assert "t: t at 850 hPa" in bring(save(dataset, tmp_path / "a.nc"), variables="t@850hPa")[0]


def test_fields_that_are_daily_keep_the_day_of_their_times(make: Make, bring: Bring, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    save(make(DAILY), source / "a.nc")
    with pytest.raises(
        ConfigError, match="day_starts must be left out for fields that are daily already, got 9"
    ):
        bring(source, day_starts="9")
    save(make(np.arange(24 * 8), name="hourly"), source / "b.nc")
    report, _ = bring(source, day_starts="9")
    assert "7 days from 2001-01-01 to 2001-01-07" in report


def test_amounts_that_are_stamped_in_their_middle_stay_in_their_day(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(np.arange(24 * 5) + 0.5, name="rain")
    dataset["rain"].values[:] = 1 + (np.arange(24 * 5) // 24)[:, None, None]
    dataset["rain"].attrs = {"units": "mm", "cell_methods": "time: sum"}
    report, folder = bring(save(dataset, tmp_path / "a.nc"))
    assert "sums of 24 amounts, each over the 1 h around its time" in report
    np.testing.assert_allclose(field(folder, "rain")[:, 0, 0], [24, 48, 72, 96, 120])


def test_energies_per_area_may_be_amounts(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(np.arange(24 * 6), name="ssrd")
    dataset["ssrd"].attrs = {"units": "J m**-2"}
    path = save(dataset, tmp_path / "a.nc")
    with pytest.raises(
        DataError, match=r"whether ssrd in 'J m\*\*-2' every 1 h is an amount, .*running=ssrd"
    ):
        bring(path)
    assert "means of 24 values" in bring(path, means="ssrd")[0]
    dataset["ssrd"].attrs["cell_methods"] = "time: mean"
    assert "means of 24 values" in bring(save(dataset, tmp_path / "b.nc"))[0]


def test_names_that_no_data_set_can_have_are_changed_and_told(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(DAILY, name="air.2m")
    dataset["level"], dataset["q 2"] = dataset["air.2m"] + 1, dataset["air.2m"] + 2
    path = save(dataset, tmp_path / "a.nc")
    report, folder = bring(path)
    assert "air_2m: 'air.2m' in the source" in report and "level_: 'level' in the source" in report
    np.testing.assert_allclose(field(folder, "q_2"), field(folder, "air_2m") + 2, rtol=1e-6)
    np.testing.assert_array_equal(field(bring(path, variables="q=q 2")[1], "q"), field(folder, "q_2"))
    dataset["air-2m"] = dataset["air.2m"]
    with pytest.raises(
        ConfigError, match=r"got 'air_2m' twice; .* variables=air_2m_1=air\.2m,air_2m_2=air-2m"
    ):
        bring(save(dataset, tmp_path / "b.nc"))


def test_each_level_may_have_a_file_of_its_own(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for hectopascals in (500, 850):
        dataset = make(DAILY, name="ta").assign_coords(plev=100.0 * hectopascals)
        dataset["plev"].attrs = {"units": "Pa", "standard_name": "air_pressure"}
        dataset["ta"].values[:] = 200 + hectopascals / 10
        save(dataset, source / f"ta_{hectopascals}.nc")
    report, folder = bring(source, variables="low=ta@850hPa,high=ta@500hPa")
    assert "low: ta at 850 hPa" in report and "high: ta at 500 hPa" in report
    assert (field(folder, "low") == 285).all() and (field(folder, "high") == 250).all()
    with pytest.raises(DataError, match=r"level 700 hPa, got 500 hPa; .* \(1 other file neither\)"):
        bring(source, variables="ta@700hPa")
    with pytest.raises(DataError, match=r"same level, got 500 hPa in ta_500\.nc and 850 hPa in ta_850\.nc"):
        bring(source)


def test_levels_of_a_model_are_numbers(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(DAILY, levels=[136, 137], name="t")
    dataset["level"].attrs = {"units": "1", "long_name": "model_level_number"}
    path = save(dataset, tmp_path / "a.nc")
    with pytest.raises(
        DataError, match=r"must have the level 137 hPa, got level 136, level 137; .* such as @137"
    ):
        bring(path, variables="t@137hPa")
    assert "t: t at level 137, daily" in bring(path, variables="t@137")[0]


def test_a_file_without_times_is_refused(make: Make, bring: Bring, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.nc must have times, got none"):
        bring(save(make(np.arange(0)), tmp_path / "a.nc"))
