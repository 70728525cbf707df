"""Imports of real fields from original and packed files; skipped where these are absent."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.trainables.geo_contrastive.importing.conftest import Bring
from thalweg.errors import DataError
from trainables.geo_contrastive.data.fields import FieldData

_SHARED = Path(__file__).parents[4].parent / "shared" / "data"
_SOURCE = Path(os.environ.get("THALWEG_TEST_DATA", _SHARED)) / "weather_fields"
_BRITAIN, _IBERIA = "gb_weather_daily_2001_2010.nc", "ncep_iberia_winter_daily_1982_2002.nc"
_HOURLY, _CITIES = "era5_uk_t2m_hourly_2019_03.nc", "era5_daily_surface_cancities_1990_1993.nc"

Prepared = Callable[[Path], FieldData]

pytestmark = pytest.mark.skipif(
    not (_SOURCE / _BRITAIN).is_file(),
    reason="the real data are not here; set THALWEG_TEST_DATA to the folder that holds weather_fields/",
)


@pytest.mark.slow
def test_britain_has_three_fields_on_two_grids(bring: Bring, prepared: Prepared) -> None:
    report, folder = bring(_SOURCE / _BRITAIN)
    assert "3 variables, 3,652 days from 2001-01-01 to 2010-12-31" in report
    assert (
        "slp: daily mean sea-level pressure, daily as it is; 9.396e+04 to 1.066e+05 Pa, none missing"
        in report
    )
    assert "grid 36x58: x -187500 to 687500, y -187500 to 1237500 m" in report
    data = prepared(folder)
    assert data.groups == {"33x17": ("slp",), "36x58": ("precipitation", "temperature")}
    assert int(data.valid["precipitation"].sum()) == 415 and data.valid["slp"].all()
    assert "precipitation: 80.1% of its cells" in data.notes[0]
    assert [len(days) for days in data.days.values()] == [2191, 730, 731]
    with xr.open_dataset(_SOURCE / _BRITAIN, engine="h5netcdf") as source:
        train = source["slp"].isel(time=slice(0, 2191)).values.astype(np.float64)
        rain = source["precipitation"].transpose("time", "x", "y")[:, :, ::-1].values
    assert data.variables["slp"].mean == pytest.approx(train.mean(), abs=1e-2)
    assert data.variables["slp"].std == pytest.approx(train.std(), rel=1e-5)
    scaled = (rain - data.variables["precipitation"].mean) / data.variables["precipitation"].std
    land = data.valid["precipitation"]
    np.testing.assert_allclose(data.fields["precipitation"][:, land], scaled[:, land], atol=1e-3)
    azores, iceland = (
        data.fields["slp"][
            :,
            np.abs(data.grids["33x17"].first - lon).argmin(),
            np.abs(data.grids["33x17"].second - lat).argmin(),
        ]
        for lon, lat in ((-27.5, 37.5), (-20.0, 65.0))
    )
    mean, std = data.variables["slp"].mean, data.variables["slp"].std
    assert mean + std * azores.mean() == pytest.approx(102_100, abs=100)
    assert mean + std * iceland.mean() == pytest.approx(100_700, abs=100)


def test_iberian_winters_jump(bring: Bring, prepared: Prepared) -> None:
    report, folder = bring(_SOURCE / _IBERIA)
    assert "5 variables, 1,805 days from 1982-12-01 to 2002-02-28" in report
    assert "19 gaps of 5,225 days in all: 275 after 1983-02-28" in report
    assert "pr: pr, daily as it is; -1.187e-10 to 0.000777 kg m-2 s-1, none missing" in report
    assert "pr: 41,372 values, which rounding had moved beyond their bounds, were set to the bound" in report
    data = prepared(folder)
    rain = data.variables["pr"]
    assert data.fields["pr"].min() * rain.std + rain.mean == pytest.approx(0.0, abs=1e-9)
    assert int((np.diff(data.day) > 1).sum()) == 19 and (data.season == 0).all()
    assert any(
        note.startswith("5,225 days missing in 19 gaps, the longest of 275 days") for note in data.notes
    )
    assert data.groups == {"8x6": ("tas", "pr"), "7x5": ("psl", "ta850", "hus850")}


def test_hours_of_era5_become_days(bring: Bring, prepared: Prepared) -> None:
    report, folder = bring(_SOURCE / _HOURLY)
    assert "1 variable, 31 days from 2019-03-01 to 2019-03-31" in report and "left out" not in report
    data = prepared(folder)
    with xr.open_dataset(_SOURCE / _HOURLY, engine="h5netcdf") as source:
        hours = source["t2m"].transpose("time", "longitude", "latitude").values.astype(np.float64)
    days = hours.reshape(31, 24, 49, 33).mean(axis=1)[:, :, ::-1]
    variable = data.variables["t2m"]
    assert variable.mean == pytest.approx(days[:18].mean(), abs=1e-5)
    np.testing.assert_allclose(data.fields["t2m"], (days - variable.mean) / variable.std, atol=1e-4)


def test_a_coarse_grid_keeps_the_mean(bring: Bring, prepared: Prepared) -> None:
    fine, coarse = (prepared(bring(_SOURCE / _HOURLY, **options)[1]) for options in ({}, {"grid": "7x3"}))
    means = []
    for data in (fine, coarse):
        (grid,), (field,) = data.grids.values(), data.fields.values()
        kelvin = field * data.variables["t2m"].std + data.variables["t2m"].mean
        means.append((kelvin * grid.weights).mean(axis=(1, 2), dtype=np.float64))
    np.testing.assert_allclose(means[1], means[0], atol=1e-3)


def test_cities_are_no_field(bring: Bring) -> None:
    with pytest.raises(
        DataError, match=r"must lie on a regular grid .* got the dimensions location, time; .*23 other"
    ):
        bring(_SOURCE / _CITIES)
