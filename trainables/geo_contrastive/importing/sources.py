"""Finds the files of a source by their first bytes, and tells which are not what their names say."""

from collections.abc import Iterator
from pathlib import Path

from thalweg.data.faults import Faults
from thalweg.data.opening import engine_of, head_of
from thalweg.errors import DataError
from thalweg.wording import some

_OTHERS = {
    b"PK\x03\x04": ("a ZIP archive, as the Climate Data Store sends several files", "unpack it"),
    b"\x1f\x8b": ("a gzip archive", "unpack it"),
    b"CDF\x05": ("netCDF-3 with 64-bit data", "convert it: nccopy -k nc4 OLD.nc NEW.nc"),
    b"\x0e\x03\x13\x01": ("HDF4", "convert it to netCDF"),
}
_ENDINGS = {".nc", ".nc4", ".cdf", ".grib", ".grb", ".grib2", ".grb2", ".zarr"}
_ARCHIVES = {".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz"}


def files_of(source: Path) -> list[Path]:
    """Returns the files and Zarr stores that a source is or holds.

    Raises:
        DataError: There is none, or files with the names of such are something else; reported for all at once.
    """
    if engine_of(source):
        return [source]
    found: list[Path] = []
    faults = Faults()
    for path in _listed(source):
        if engine_of(path):
            found.append(path)
        elif path.suffix.casefold() in _ENDINGS:
            what, way_out = _what_is(path)
            got, out = what or f"a file that begins with {head_of(path)!r}", way_out or "download it again"
            faults.add(f"{path} must be netCDF, Zarr or GRIB, got {got}; {out}, or move it away")
    faults.raise_if_any()
    if not found:
        raise DataError(_nothing(source))
    return found


def left_out(source: Path) -> list[str]:
    """Returns a sentence on archives and folders beside the files of a source, for these are not searched."""
    beside = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in _listed(source)
        if not engine_of(path)
        and (_holds_files(path) if path.is_dir() else path.suffix.casefold() in _ARCHIVES)
    ]
    return [f"left out, for archives and folders in a folder are not searched: {', '.join(beside)}"] * bool(
        beside
    )


def _listed(source: Path) -> Iterator[Path]:
    if not source.is_dir() or engine_of(source):
        return
    yield from (path for path in sorted(source.iterdir()) if not path.name.startswith("."))


def _holds_files(folder: Path) -> bool:
    try:
        return any(engine_of(path) for path in folder.iterdir())
    except OSError:  # of others, such as lost+found
        return False


def _what_is(path: Path) -> tuple[str, str]:
    """Returns what a file is that is no source, and the way out; empty texts if it could be anything."""
    if path.is_dir():
        return "a folder without the tables of Zarr", "copy it again"
    head = head_of(path)
    if not head:
        return "an empty file", "download it again"
    return next((told for magic, told in _OTHERS.items() if head.startswith(magic)), ("", ""))


def _nothing(source: Path) -> str:
    law = "the source of weather-fields must be or hold netCDF, Zarr or GRIB"
    what, way_out = _what_is(source) if source.is_file() else ("", "")
    if what:
        return f"{law}, got at {source} {what}; {way_out}"
    within = [path.name for path in _listed(source) if path.is_dir() and _holds_files(path)]
    if within:
        return (
            f"{law}, got none of them at {source} itself but in {some(within)}; "
            "pass one of these, or put links to all files in one folder"
        )
    return f"{law}, got none of them at {source}; pass the file, the Zarr store or the folder that holds such"
