"""Data sets that the family can make or import: synthetic worlds, and public sources.

Functions import what they need when they are called, so that listing data sets does not wait for pandas and torch.
"""

from collections.abc import Mapping
from pathlib import Path

from thalweg.dataset_contract import PublicDataset, SyntheticDataset
from trainables.water_mae.importing.options import GAUGED, GB_HYDROLOGY, MONTHLY, WATER


def _make_tiny(folder: Path) -> None:
    from trainables.water_mae.worlds.synthetic import make_tiny

    make_tiny(folder)


def _make_small(folder: Path) -> None:
    from trainables.water_mae.worlds.synthetic import make_small

    make_small(folder)


def _read_gb_hydrology(source: Path, target: Path, **options: str) -> str:
    from trainables.water_mae.importing.gb_hydrology import read

    return read(source, target, **options)


def _read_monthly(source: Path, target: Path, **options: str) -> str:
    from trainables.water_mae.importing.monthly import read

    return read(source, target, **options)


def _read_water(source: Path, target: Path, **options: str) -> str:
    from trainables.water_mae.importing.water_folder import read

    return read(source, target, **options)


def _read_caravan(source: Path, target: Path, **options: str) -> str:
    from trainables.water_mae.importing.gauged import CARAVAN, read

    return read(CARAVAN, source, target, **options)


def _read_camels(source: Path, target: Path, **options: str) -> str:
    from trainables.water_mae.importing.gauged import CAMELS, read

    return read(CAMELS, source, target, **options)


WORLDS: Mapping[str, SyntheticDataset] = {
    "tiny": SyntheticDataset(
        meaning="an island of 40 x 40 cells with 48 catchments, three years to train on, one to validate, one to test: "
        "for tests and first steps (vector_patch_size 4 fits)",
        make=_make_tiny,
    ),
    "small": SyntheticDataset(
        meaning="an island of 100 x 80 cells with 200 catchments, four years to train on, one to validate, one to test",
        make=_make_small,
    ),
}
SOURCES: Mapping[str, PublicDataset] = {
    "gb-hydrology": PublicDataset(
        meaning="Great Britain, 5 km and daily: observed river flow of CAMELS-GB; precipitation and "
        "temperature interpolated from its catchment means, evaporation derived, soil moisture a model state",
        read=_read_gb_hydrology,
        options=GB_HYDROLOGY,
    ),
    "monthly-hydrology": PublicDataset(
        meaning="one's own archive of the reference experiment's kind: an HDF5 file per modality and month with a "
        "dataset per day, series of catchments, attributes, land mask; months are merged, gaps told; "
        "again, it takes in what was added or changed",
        read=_read_monthly,
        options=MONTHLY,
        updates=True,
    ),
    "water-mae": PublicDataset(
        meaning="one's own country: any fields in netCDF, GRIB or Zarr, any series and attributes of catchments in "
        "tables, netCDF or Zarr, under any names, or some of these; or a folder in the family's own layout. Units are "
        "converted or refused",
        read=_read_water,
        options=WATER,
    ),
    "caravan": PublicDataset(
        meaning="Caravan, and its extensions: observed streamflow and attributes of catchments; precipitation, "
        "temperature and soil moisture of ERA5-Land, interpolated to a grid from their means over catchments",
        read=_read_caravan,
        options=GAUGED,
    ),
    "camels": PublicDataset(
        meaning="CAMELS of a country in CSV or netCDF, a file for each catchment or one for all: observed streamflow "
        "and attributes; weather interpolated to a grid from its means over catchments",
        read=_read_camels,
        options=GAUGED,
    ),
}
