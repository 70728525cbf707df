"""The variables of gridded data, as their files hold them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from thalweg.data.opening import OpenFiles, title_of, without_uninitialised
from trainables.geo_contrastive.importing.sources import files_of


@dataclass(frozen=True)
class Opened:
    """One variable of one file.

    Attributes:
        name: What the file calls it.
        also: Another name that the file knows it by, empty if there is none.
        path: The file.
        kind: Title of the file's format.
        array: Its numbers as stored, with attributes; read when they are asked for.
        dataset: The file, or the part of it that holds the variable, for the coordinates.
    """

    name: str
    also: str
    path: Path
    kind: str
    array: xr.DataArray
    dataset: xr.Dataset


def open_source(source: Path, files: OpenFiles) -> list[Opened]:
    """Opens every variable of a file, of a Zarr store, or of all of these in a folder.

    Raises:
        DataError: There is no file that can be read, or one is not what its name says; GRIB without the extra that
            reads it.
    """
    return [found for path in files_of(source) for found in _variables(path, files)]


def _variables(path: Path, files: OpenFiles) -> Iterator[Opened]:
    kind = title_of(path)
    for dataset, also in files.datasets(path, decode_times=False):
        for name, array in dataset.data_vars.items():
            if array.ndim >= 2 and array.dtype.kind in "fiu":
                yield Opened(str(name), also, path, kind, without_uninitialised(array, path), dataset)
