"""Sources to import: small files of any kind, and the names of what they hold."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.importing.weather_fields import read
from trainables.geo_contrastive.knobs import DataKnobs

LONS = 30.0 * np.arange(12)
LATS = np.array([75.0, 45, 15, -15, -45, -75])
DAILY = np.arange(12) * 24

Make = Callable[..., xr.Dataset]
Bring = Callable[..., tuple[str, Path]]
Field = Callable[[Path, str], xr.DataArray]


def save(dataset: xr.Dataset, path: Path, **encoding: object) -> Path:
    """Writes a data set as netCDF, all variables in the same encoding."""
    names = [str(name) for name in dataset.data_vars]
    dataset.to_netcdf(path, engine="h5netcdf", encoding={name: encoding for name in names})
    return path


@pytest.fixture
def make() -> Callable[..., xr.Dataset]:
    """Makes fields as ERA5 has them: longitudes from 0, latitudes from the north, a variable t2m in K."""

    def made(
        times: object,
        *,
        units: str = "hours since 2001-01-01",
        calendar: str = "standard",
        levels: list[float] | None = None,
        name: str = "t2m",
        lons: np.ndarray = LONS,
        lats: np.ndarray = LATS,
        time: str = "time",
    ) -> xr.Dataset:
        rng = np.random.default_rng(5)
        numbers = np.asarray(times)
        shape = (len(numbers), *((len(levels),) if levels else ()), len(lats), len(lons))
        dims = (time, *(("level",) if levels else ()), "latitude", "longitude")
        values = rng.normal(280, 5, shape).astype(np.float32)
        coords: dict[str, object] = {
            time: (time, numbers, {"units": units, "calendar": calendar, "standard_name": "time"}),
            "latitude": ("latitude", lats, {"units": "degrees_north"}),
            "longitude": ("longitude", lons, {"units": "degrees_east"}),
        }
        if levels:
            coords["level"] = ("level", np.array(levels), {"units": "hPa"})
        return xr.Dataset({name: (dims, values, {"units": "K"})}, coords)

    return made


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., tuple[str, Path]]:
    """Imports a source into a new folder; returns the report and the folder."""

    def brought(source: Path, **options: str) -> tuple[str, Path]:
        folder = tmp_path / "data" / f"set{len(list(tmp_path.glob('data/*')))}"
        folder.parent.mkdir(exist_ok=True)
        return read(source, folder, **options), folder

    return brought


@pytest.fixture
def field() -> Callable[[Path, str], xr.DataArray]:
    """Reads a variable of a data set's folder into memory."""

    def loaded(folder: Path, name: str) -> xr.DataArray:
        with xr.open_dataset(folder / f"{name}.nc", engine="h5netcdf") as dataset:
            return dataset[name].load()

    return loaded


@pytest.fixture
def prepared() -> Callable[[Path], FieldData]:
    """Opens all variables of a data set's folder."""

    def opened(folder: Path) -> FieldData:
        names = tuple(each["name"] for each in json.loads((folder / "fields.json").read_text())["variables"])
        return open_fields(folder.parent, folder.name, DataKnobs(variables=names))

    return opened
