"""Data sets of the family that need no files of one's own: synthetic worlds, and readers of public data sets.

What makes and reads them is imported when that happens: a list of data sets must not wait for xarray.
"""

from collections.abc import Mapping
from pathlib import Path

from thalweg.dataset_contract import PublicDataset, SyntheticDataset
from trainables.geo_contrastive.importing.options import WEATHER_FIELDS


def _make_tiny(folder: Path) -> None:
    from trainables.geo_contrastive.worlds.synthetic import make_tiny

    make_tiny(folder)


def _make_tiny_two_grids(folder: Path) -> None:
    from trainables.geo_contrastive.worlds.synthetic import make_tiny_two_grids

    make_tiny_two_grids(folder)


def _make_small(folder: Path) -> None:
    from trainables.geo_contrastive.worlds.synthetic import make_small

    make_small(folder)


def _read_weather_fields(source: Path, target: Path, **options: str) -> str:
    from trainables.geo_contrastive.importing.weather_fields import read

    return read(source, target, **options)


WORLDS: Mapping[str, SyntheticDataset] = {
    "tiny": SyntheticDataset(
        meaning="three years of five coupled variables at 850 hPa on 16 x 8 cells around the globe, with jumps: for "
        "tests and first steps",
        make=_make_tiny,
    ),
    "tiny-two-grids": SyntheticDataset(
        meaning="the same weather, but temperature on a grid of Europe alone, on land: for late fusion",
        make=_make_tiny_two_grids,
    ),
    "small": SyntheticDataset(
        meaning="six years of the same kind of weather on 32 x 16 cells, with jumps",
        make=_make_small,
    ),
}
SOURCES: Mapping[str, PublicDataset] = {
    "weather-fields": PublicDataset(
        meaning="daily fields of any variables on regular grids, from one's own netCDF, Zarr (WeatherBench2, ERA5) or "
        "GRIB: levels by name, hourly values to days, regridded if asked",
        read=_read_weather_fields,
        options=WEATHER_FIELDS,
        takes_files=True,
    ),
}
