"""Opens files of gridded data through xarray, lazily and undecoded: netCDF, Zarr, GRIB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import xarray as xr

from thalweg.errors import DataError
from trainables.geo_contrastive.importing.sources import files_of

_KEYS = ("cfVarName", "typeOfLevel", "stepType", "shortName")
_MORE_KEYS = ("level", "dataDate", "dataTime", "stepRange", "number")
_TITLES = {"h5netcdf": "netCDF-4", "scipy": "netCDF-3", "cfgrib": "GRIB", "zarr": "Zarr"}


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


@contextmanager
def one_chunk_at_a_time(kind: str) -> Iterator[None]:
    """Keeps Zarr from decoding many chunks at once, each of which may take 100 MB."""
    if kind != _TITLES["zarr"]:
        yield
        return
    import zarr

    with zarr.config.set({"async.concurrency": 1}):
        yield


def open_source(source: Path) -> list[Opened]:
    """Opens every variable of a file, of a Zarr store, or of all of these in a folder.

    Raises:
        DataError: There is no file that can be read, or one is not what its name says; GRIB without the extra that
            reads it.
    """
    return [found for path, engine in files_of(source) for found in _open(path, engine)]


def _open(path: Path, engine: str) -> Iterator[Opened]:
    if engine == "cfgrib":
        yield from _open_grib(path)
        return
    options: dict[str, Any] = {"consolidated": _is_consolidated(path)} if engine == "zarr" else {}
    dataset = _lazily(path, engine, options)
    for name, array in dataset.data_vars.items():
        if array.ndim >= 2 and array.dtype.kind in "fiu":
            yield Opened(str(name), "", path, _TITLES[engine], _without_uninitialised(array, engine), dataset)


def _lazily(path: Path, engine: str, options: dict[str, Any]) -> xr.Dataset:
    try:
        return xr.open_dataset(
            path,
            engine=engine,
            mask_and_scale=False,
            decode_times=False,
            cache=False,
            backend_kwargs=options,
        )
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} must be whole {_TITLES[engine]}, got {type(error).__name__}: {error}; copy it again"
        ) from None


def _is_consolidated(path: Path) -> bool:
    if (path / ".zmetadata").is_file():
        return True
    table = path / "zarr.json"
    return table.is_file() and '"consolidated_metadata"' in table.read_text(encoding="utf-8")


def _without_uninitialised(array: xr.DataArray, engine: str) -> xr.DataArray:
    """Drops the fill value 0 of Zarr's second version from fractions: such zeros are data, not missing."""
    if engine == "zarr" and array.dtype.kind == "f" and array.attrs.get("_FillValue") == 0:
        array = array.copy(deep=False)
        array.attrs = {name: value for name, value in array.attrs.items() if name != "_FillValue"}
    return array


def _open_grib(path: Path) -> Iterator[Opened]:
    """Opens each quantity of a GRIB file by itself: together, cfgrib drops those whose steps or levels differ."""
    if find_spec("cfgrib") is None or find_spec("eccodes") is None:
        raise DataError(
            f"GRIB is read by the extra grib, got {path} without it; install it with `pip install 'thalweg[grib]'`, or "
            "convert the file to netCDF"
        )
    found = sorted(_inventory(path))
    for (name, kind, step), messages in groupby(found, key=lambda message: message[:3]):
        keys = {"cfVarName": name, "typeOfLevel": kind, "stepType": step}
        dataset = _lazily(path, "cfgrib", {"filter_by_keys": keys, "indexpath": "", "errors": "raise"})
        short = {message[3] for message in messages}.pop()
        for known, array in dataset.data_vars.items():
            yield Opened(str(known), short, path, _TITLES["cfgrib"], array, dataset)


def _inventory(path: Path) -> set[tuple[str, ...]]:
    """Returns name, type of level, type of step and short name of all messages.

    Raises:
        DataError: The file is damaged, or a message is there twice, of which cfgrib would take the first.
    """
    import eccodes

    found: set[tuple[str, ...]] = set()
    fields: set[tuple[str, ...]] = set()
    with path.open("rb") as file:
        try:
            while (message := eccodes.codes_grib_new_from_file(file, headers_only=True)) is not None:
                field = tuple(
                    eccodes.codes_get(message, key, str)
                    for key in (*_KEYS, *_MORE_KEYS)
                    if eccodes.codes_is_defined(message, key)
                )
                eccodes.codes_release(message)
                if field in fields:
                    raise DataError(
                        f"each field of {path} must be there once, got two messages of {' '.join(field)}; remove one"
                    )
                fields.add(field)
                found.add(field[: len(_KEYS)])
        except eccodes.CodesInternalError as error:
            raise DataError(f"{path} must be whole GRIB, got {error}; copy it again") from None
    return found
