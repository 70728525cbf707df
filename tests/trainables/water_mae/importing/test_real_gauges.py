"""Imports of one's own files on real gauges of Great Britain; skipped where these are absent."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.errors import DataError
from trainables.water_mae.importing.gauged import CAMELS, CARAVAN
from trainables.water_mae.importing.gauged import read as read_collection
from trainables.water_mae.importing.water_folder import read

_SHARED = Path(__file__).parents[4].parent / "shared" / "data"
_SOURCE = Path(os.environ.get("THALWEG_TEST_DATA", _SHARED)) / "gb_hydrology"
_DAILY, _TABLE, _CARAVAN = (
    "camels_gb_daily.nc", "attributes_merged.csv", "caravan_attributes_other_camelsgb.csv"
)  # fmt: skip
PERIODS = {"train": "2001-01-01:2001-12-31", "val": "2002-01-01:2002-12-31"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (_SOURCE / _DAILY).is_file(),
        reason="the real data are not here; set THALWEG_TEST_DATA to the folder that holds gb_hydrology/",
    ),
]


def linked(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(_SOURCE / name)
    return folder


def test_rivers_without_maps(tmp_path: Path) -> None:
    source = linked(tmp_path / "files", _DAILY, _TABLE)
    told = read(
        source,
        tmp_path / "made",
        series="precipitation,temperature,river_flow=riverflow",
        attributes="catchment-area,bfihost",
        catchments="39*",
        **PERIODS,
    )
    assert told.startswith("53 catchments; train 2001-01-01 to 2001-12-31; val 2002-01-01 to 2002-12-31")
    table = pd.read_parquet(next((tmp_path / "made").glob("series_*.parquet")))
    with xr.open_dataset(_SOURCE / _DAILY, engine="h5netcdf") as stored:
        flow = stored["riverflow"].sel(gauge_id=39001, time=slice("2001-01-01", "2002-12-31")).values
    np.testing.assert_allclose(table.loc[table["ID"] == "39001", "riverflow"], flow, atol=1e-4)


def test_one_file_of_all_catchments_is_camels_too(tmp_path: Path) -> None:
    source = linked(tmp_path / "files", _DAILY, _TABLE)
    told = read_collection(
        CAMELS, source, tmp_path / "made", series="river_flow=riverflow", catchments="39*", **PERIODS
    )
    assert "a grid of 15 x 19 cells, 190 of them land; 53 catchments" in told
    assert "from the means over 53 catchments" in told


def test_identifiers_of_caravan_that_no_series_has_are_told(tmp_path: Path) -> None:
    source = linked(tmp_path / "files", _DAILY, _CARAVAN)
    with pytest.raises(
        DataError, match=r"got none for camelsgb_10002, .*, but for 1001, 2001, .* identifiers of"
    ):
        read_collection(CARAVAN, source, tmp_path / "made", series="river_flow=riverflow")
