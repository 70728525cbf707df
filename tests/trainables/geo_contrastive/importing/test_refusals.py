"""What an import of weather fields refuses, through the door that the CLI takes."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainables.geo_contrastive.importing.conftest import DAILY, Bring, Make, save
from thalweg.errors import ConfigError, DataError


def test_faults_of_all_variables_are_told_at_once(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(DAILY)
    dataset["tas"] = dataset["t2m"] - 273.15  # still says K
    dataset["slp"] = (("time", "latitude", "longitude"), dataset["t2m"].values, {"units": "inHg"})
    with pytest.raises(DataError) as caught:
        bring(save(dataset, tmp_path / "a.nc"))
    text = str(caught.value)
    assert "2 faults" in text
    assert "tas (temperature)" in text and "must lie within 130 and 370 K" in text
    assert "slp (pressure)" in text and "got the declared unit 'inHg'" in text
    assert not (tmp_path / "data" / "set0").exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ("q", "must hold the variable q, got none of that name; there are t2m"),
        ("t2m@850hPa", "got no level; leave the level out"),
    ],
)
def test_what_is_not_there_is_refused(
    make: Make, bring: Bring, tmp_path: Path, variables: str, message: str
) -> None:
    path = save(make(DAILY), tmp_path / "a.nc")
    with pytest.raises(DataError, match=message):
        bring(path, variables=variables)


@pytest.mark.parametrize("variables", ["t2m,,u", "=t2m", "t2m@", "a-b=t2m", "a.b", "time=t2m", "level=t2m"])
def test_options_that_mean_nothing_are_refused(
    bring: Bring, tmp_path: Path, variables: str, make: Make
) -> None:
    with pytest.raises(ConfigError, match="variables must"):
        bring(save(make(DAILY), tmp_path / "a.nc"), variables=variables)


def test_grids_that_are_not_regular_are_refused(make: Make, bring: Bring, tmp_path: Path) -> None:
    curved = make(DAILY).rename(latitude="j", longitude="i").drop_vars(["i", "j"])
    curved = curved.assign_coords(lat=(("j", "i"), np.zeros((6, 12))), lon=(("j", "i"), np.zeros((6, 12))))
    with pytest.raises(DataError, match=r"longitudes and latitudes that are no axes, .* regrid it first"):
        bring(save(curved, tmp_path / "a.nc"))
    rotated = make(DAILY)
    rotated["longitude"].attrs = {"standard_name": "grid_longitude", "units": "degrees"}
    with pytest.raises(DataError, match="got one around a rotated pole"):
        bring(save(rotated, tmp_path / "b.nc"))
    with pytest.raises(
        DataError, match=r"time of t2m .* must have coordinates, got none; add a variable time"
    ):
        bring(save(make(DAILY).drop_vars("time"), tmp_path / "e.nc"))
    members = make(DAILY).expand_dims(number=[0, 1], axis=1)
    with pytest.raises(DataError, match="got the further dimension number of 2 entries"):
        bring(save(members, tmp_path / "c.nc"))
    with pytest.raises(DataError, match=r"latitude of .* must ascend or descend throughout"):
        bring(save(make(DAILY, lats=np.array([75.0, 45, -15, 15, -45, -75])), tmp_path / "d.nc"))


def test_masks_without_times_are_left_out(make: Make, bring: Bring, tmp_path: Path) -> None:
    dataset = make(DAILY)
    dataset["lsm"] = (("latitude", "longitude"), np.ones((6, 12), np.float32))
    dataset["time_bnds"] = (("time", "bnds"), np.zeros((12, 2)))
    dataset["time"].attrs["bounds"] = "time_bnds"
    path = save(dataset, tmp_path / "a.nc")
    report, _ = bring(path)
    assert report.startswith("1 variable") and "left out, for they have no times: lsm" in report
    with pytest.raises(DataError, match=r"lsm in .* must have times"):
        bring(path, variables="lsm")


def test_what_is_no_source_is_refused(bring: Bring, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("CSV, perhaps")
    for path in (tmp_path / "a.txt", tmp_path, tmp_path / "nothing"):
        with pytest.raises(DataError, match="must be or hold netCDF, Zarr or GRIB, got none of them"):
            bring(path)
    (tmp_path / "cut.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(DataError, match=r"cut\.nc must be whole netCDF-4"):
        bring(tmp_path / "cut.nc")
