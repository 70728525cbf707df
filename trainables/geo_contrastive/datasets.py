"""Data sets of the family that need no files of one's own: synthetic worlds, and readers of public sources.

What makes and reads them is imported when that happens: a list of data sets must not wait for xarray.
"""

from collections.abc import Mapping
from pathlib import Path

from thalweg.dataset_contract import PublicDataset, SyntheticDataset
from trainables.geo_contrastive.importing.options import WEATHER_FIELDS


def _read_weather_fields(source: Path, target: Path, **options: str) -> str:
    from trainables.geo_contrastive.importing.weather_fields import read

    return read(source, target, **options)


WORLDS: Mapping[str, SyntheticDataset] = {}
SOURCES: Mapping[str, PublicDataset] = {
    "weather-fields": PublicDataset(
        meaning="daily fields of any variables on regular grids, from one's own netCDF, Zarr (WeatherBench2, ERA5) or "
        "GRIB: levels by name, hourly values to days, regridded if asked",
        read=_read_weather_fields,
        options=WEATHER_FIELDS,
        takes_files=True,
    ),
}
