"""Fields of any format, and which of their dimensions are days, rows and columns."""

from pathlib import Path

import eccodes
import h5py
import numpy as np
import pytest
import xarray as xr

from tests.grib import messages
from tests.trainables.water_mae.another_country import DAYS, SHAPE, weather, write_attributes, write_flows
from thalweg.errors import DataError
from trainables.water_mae.importing.water_folder import read

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of cfgrib

HOURS = 24 * np.arange(len(DAYS))
LATS, LONS = 47 - 0.25 * np.arange(SHAPE[0]), 6 + 0.25 * np.arange(SHAPE[1])


def fields(hours: np.ndarray = HOURS, **values: np.ndarray) -> xr.Dataset:
    """Fields on a grid of degrees, times in hours since 2001-01-01."""
    coords = {"time": hours, "latitude": LATS, "longitude": LONS}
    return xr.Dataset({name: (tuple(coords), each) for name, each in values.items()}, coords)


@pytest.fixture
def rivers(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    write_flows(folder / "flow.csv")
    write_attributes(folder / "attributes.csv")
    return folder


def written(folder: Path, name: str) -> np.ndarray:
    days = []
    for path in sorted(folder.glob(f"{name}_*.h5")):  # train comes before val
        with h5py.File(path) as file:
            days.append(file["data"][:])
    found: np.ndarray = np.concatenate(days)
    return np.where(found < -9e4, np.nan, found)


@pytest.mark.slow
def test_daily_grib_is_read(rivers: Path, tmp_path: Path) -> None:
    """As ERA5-Land has it: amounts of 24 hours that end at midnight, kelvins, the sea missing."""
    kelvin, metres = weather()["temperature"] + 273.15, weather()["precipitation"] / 1000
    parts = [
        *messages(fields(t=kelvin), "t", "2t"),
        *messages(fields(HOURS + 24, t=metres), "t", "tp", step=24, span=24),
        *messages(fields(t=weather()["temperature"] * 0 + 0.3), "t", "swvl1"),
    ]
    (rivers / "era5.grib").write_bytes(b"".join(parts))
    told = read(rivers, tmp_path / "made", fields="precipitation=tp,temperature=2t")
    assert "temperature (field): " in told and "converted from K to degC" in told
    assert "train 2001-01-01 to 2001-03-31; val 2001-04-01 to 2001-04-30" in told
    np.testing.assert_allclose(written(tmp_path / "made", "temperature"), weather()["temperature"], atol=1e-3)
    np.testing.assert_allclose(
        written(tmp_path / "made", "precipitation"), weather()["precipitation"], atol=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grib", "nc"])
def test_a_file_for_each_day_is_read(rivers: Path, tmp_path: Path, kind: str) -> None:
    """Each then has its time as a number, not as an axis."""
    rain = weather()["precipitation"]
    for day in range(6):
        one = fields(HOURS[day : day + 1], pr=rain[day : day + 1])
        path = rivers / f"rain_{day}.{kind}"
        if kind == "grib":
            path.write_bytes(b"".join(messages(one / 1000, "pr", "tp")))  # in metres
        else:
            one["pr"].attrs["units"] = "mm/day"
            one["time"].attrs["units"] = "hours since 2001-01-01"
            one.isel(time=0).to_netcdf(path, engine="h5netcdf")
    name = "tp" if kind == "grib" else "pr"
    told = read(rivers, tmp_path / "made", fields=f"precipitation={name}")
    assert "train 2001-01-01 to 2001-01-04; val 2001-01-05 to 2001-01-06" in told
    np.testing.assert_allclose(written(tmp_path / "made", "precipitation"), rain[:6], atol=1e-3)


def test_levels_are_refused_by_name_and_one_of_length_1_is_no_level(rivers: Path, tmp_path: Path) -> None:
    rain, air = weather()["precipitation"], weather()["temperature"]
    dataset = fields(pr=rain, ta=air)
    dataset["time"].attrs["units"] = "hours since 2001-01-01"
    dataset["pr"] = dataset["pr"].expand_dims("number", axis=1)
    dataset["ta"] = xr.concat([dataset["ta"], dataset["ta"] + 1], "height")
    dataset["pr"].attrs["units"], dataset["ta"].attrs["units"] = "mm", "degC"
    dataset.to_netcdf(rivers / "w.nc", engine="h5netcdf")
    with pytest.raises(
        DataError,
        match=r"ta in .*w.nc must have the dimensions time, y and x, got height besides; write one of height, or name",
    ):
        read(rivers, tmp_path / "made")
    read(rivers, tmp_path / "made", fields="precipitation=pr")
    np.testing.assert_allclose(written(tmp_path / "made", "precipitation"), rain, rtol=1e-5)


def test_what_grib_has_on_two_levels_is_told(rivers: Path, tmp_path: Path) -> None:
    air = fields(t=weather()["temperature"])
    parts = [
        part
        for height in (500, 850)
        for part in messages(air.isel(time=slice(3)), "t", "t", level=("isobaricInhPa", height))
    ]
    (rivers / "a.grib").write_bytes(b"".join(parts))
    with pytest.raises(
        DataError, match=r"t in .*a.grib must have the dimensions time, y and x, got isobaric"
    ):
        read(rivers, tmp_path / "made")
    half = len(parts) // 2
    (rivers / "a.grib").write_bytes(b"".join([*parts[:half], *messages(air.isel(time=slice(3)), "t", "t")]))
    with pytest.raises(
        DataError, match=r"each day of t must be there once, got 2001-01-01 in .*a.grib twice"
    ):
        read(rivers, tmp_path / "made")


def test_north_is_up_on_curved_grids(rivers: Path, tmp_path: Path) -> None:
    """Such as those of regional models, whose first row is mostly the southern one."""
    rain = weather()["precipitation"]
    latitude = np.broadcast_to(LATS[::-1, None], SHAPE)
    dataset = xr.Dataset(
        {"pr": (("time", "y", "x"), rain[:, ::-1], {"units": "mm"})},
        {"time": DAYS.astype("datetime64[ns]"), "latitude": (("y", "x"), latitude)},
    )
    dataset.to_netcdf(rivers / "w.nc", engine="h5netcdf")
    read(rivers, tmp_path / "made", fields="precipitation=pr")
    np.testing.assert_allclose(written(tmp_path / "made", "precipitation"), rain, rtol=1e-5)


def test_grib_without_rows_is_no_series(rivers: Path, tmp_path: Path) -> None:
    parts = []
    for day in range(3):
        message = eccodes.codes_grib_new_from_samples("reduced_gg_sfc_grib2")
        eccodes.codes_set(message, "dataDate", 20010101 + day)
        parts.append(eccodes.codes_get_message(message))
        eccodes.codes_release(message)
    (rivers / "a.grib").write_bytes(b"".join(parts))
    with pytest.raises(
        DataError, match=r"must lie on a grid of rows and columns, got the dimensions time, values"
    ):
        read(rivers, tmp_path / "made")
