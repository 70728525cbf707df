"""Opens files through xarray, lazily, and closes them all: netCDF, Zarr, GRIB, known by their first bytes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import xarray as xr

from thalweg.errors import DataError

_ZARR = ("zarr.json", ".zgroup", ".zmetadata", ".zattrs")
_ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy", b"GRIB": "cfgrib"}
_TITLES = {"h5netcdf": "netCDF-4", "scipy": "netCDF-3", "cfgrib": "GRIB", "zarr": "Zarr"}
_KEYS = ("cfVarName", "typeOfLevel", "stepType", "shortName")
_MORE_KEYS = ("level", "dataDate", "dataTime", "stepRange", "number")


def engine_of(path: Path) -> str:
    """Returns xarray's engine for a file or folder, by its first bytes; empty if there is none.

    Raises:
        DataError: The file cannot be read.
    """
    if path.is_dir():
        return "zarr" if any((path / name).is_file() for name in _ZARR) else ""
    return _ENGINES.get(head_of(path), "")


def head_of(path: Path) -> bytes:
    """Returns the first four bytes of a file, none if it is no file.

    Raises:
        DataError: The file cannot be read.
    """
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise DataError(f"{path} must be readable, got {error.strerror}; correct its permissions") from None


def title_of(path: Path) -> str:
    """Returns what people call the format of a file that `engine_of` knows."""
    return _TITLES[engine_of(path)]


class OpenFiles(ExitStack):
    """Files that stay open until the block ends, also when it ends by an error.

    Garbage collection would close them too, but not before the error's traceback is gone: meanwhile HDF5 refuses to
    write a file anew.
    """

    def datasets(self, path: Path, *, decode_times: bool) -> Iterator[tuple[xr.Dataset, str]]:
        """Opens a file or store; numbers stay as stored.

        Args:
            path: The file, of a format that `engine_of` knows.
            decode_times: Whether times become datetime64, for which they have to be of the standard calendar.

        Yields:
            The file's data set, and an empty text. A GRIB file gives one for each of its quantities, with the short
            name that GRIB knows it by.

        Raises:
            DataError: The file is damaged, or GRIB without the extra that reads it.
        """
        engine = engine_of(path)
        if engine == "cfgrib":
            for keys, short in _quantities(path):
                options = {"filter_by_keys": keys, "indexpath": "", "errors": "raise"}
                yield self._open(path, engine, options, decode_times), short
        else:
            backend: dict[str, Any] = {"consolidated": _is_consolidated(path)} if engine == "zarr" else {}
            yield self._open(path, engine, backend, decode_times), ""

    def _open(self, path: Path, engine: str, options: dict[str, Any], decode_times: bool) -> xr.Dataset:
        try:
            dataset = xr.open_dataset(
                path,
                engine=engine,
                mask_and_scale=False,
                decode_times=decode_times,
                decode_timedelta=False,
                cache=False,
                backend_kwargs=options,
            )
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            law = f"whole {_TITLES[engine]}{' with times by CF' * decode_times}"
            raise DataError(
                f"{path} must be {law}, got {type(error).__name__}: {error}; copy"
                f"{' or write' * decode_times} it again"
            ) from None
        return self.enter_context(dataset)


def without_uninitialised(array: xr.DataArray, path: Path) -> xr.DataArray:
    """Drops the fill value 0 of Zarr's second version from fractions: such zeros are data, not missing."""
    if path.is_dir() and array.dtype.kind == "f" and array.attrs.get("_FillValue") == 0:
        array = array.copy(deep=False)
        array.attrs = {name: value for name, value in array.attrs.items() if name != "_FillValue"}
    return array


@contextmanager
def one_chunk_at_a_time(path: Path) -> Iterator[None]:
    """Keeps Zarr from decoding many chunks at once, each of which may take 100 MB."""
    if not path.is_dir():
        yield
        return
    import zarr

    with zarr.config.set({"async.concurrency": 1}):
        yield


def _is_consolidated(path: Path) -> bool:
    table = path / "zarr.json"
    return (path / ".zmetadata").is_file() or (
        table.is_file() and '"consolidated_metadata"' in table.read_text(encoding="utf-8")
    )


def _quantities(path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Yields keys that select each quantity by itself: together, cfgrib drops those whose steps or levels differ."""
    if find_spec("cfgrib") is None or find_spec("eccodes") is None:
        raise DataError(
            f"GRIB is read by the extra grib, got {path} without it; install it with `pip install 'thalweg[grib]'`, or "
            "convert the file to netCDF"
        )
    found = sorted(_inventory(path))
    for keys, messages in groupby(found, key=lambda message: message[:3]):
        yield dict(zip(_KEYS, keys, strict=False)), {message[3] for message in messages}.pop()


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
