"""The place of prepared stores: beside their data, in a folder of the user's choice, or in the folder of caches.

Stores lie in ``.store`` of their data set. ``THALWEG_STORE`` names another folder for those of all data sets, such as a
fast disk. Without it, stores of a data set that cannot be written lie in the folder of caches.
"""

import errno
import os
import tempfile
from pathlib import Path

from thalweg.disk.caches import CACHE_VARIABLE, cache_folder
from thalweg.hashing import digest

STORE_VARIABLE = "THALWEG_STORE"
HOME = ".store"
"""Folder of the stores of a data set, below the data set."""

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def readable(parent: Path) -> tuple[Path, ...]:
    """Returns the folders in which the stores of a data set may lie, the preferred one first.

    Args:
        parent: Folder of the stores beside the data.
    """
    if chosen := _chosen():
        return (_below(chosen, parent),)
    cached = _cached(parent)
    return (parent,) if cached is None else (parent, cached)


def writable(parent: Path) -> Path:
    """Returns the folder in which stores of a data set are written; it exists if it can be made.

    Without a folder of the user's choice it is the one beside the data, or, if the system refuses to write there, one
    in the folder of caches. If that cannot be written either, it is the one beside the data again, whose error says
    most.

    Args:
        parent: Folder of the stores beside the data.
    """
    if chosen := _chosen():
        return _below(chosen, parent)
    if not _is_read_only(parent):
        return parent
    cached = _cached(parent)
    return parent if cached is None or not _can_be_written(cached) else cached


def elsewhere(data_set: Path) -> str:
    """Returns a sentence on stores that lie in the folder of caches; empty if none do.

    Args:
        data_set: Folder of the data set.
    """
    parent = data_set / HOME
    cached = None if _chosen() else _cached(parent)
    if cached is None or not cached.is_dir() or not _is_read_only(parent):
        return ""
    return (
        f"{data_set} cannot be written, so what is prepared of it lies in {cached}; set {STORE_VARIABLE} to choose "
        "another folder"
    )


def settle() -> None:
    """Makes the folders that environment variables name absolute, for processes that work in other folders."""
    for name in (STORE_VARIABLE, CACHE_VARIABLE):
        if chosen := os.environ.get(name):
            os.environ[name] = os.path.abspath(chosen)


def _chosen() -> Path | None:
    chosen = os.environ.get(STORE_VARIABLE)
    return Path(chosen).absolute() if chosen else None


def _cached(parent: Path) -> Path | None:
    caches = cache_folder()
    return None if caches is None else _below(caches.absolute() / "stores", parent)


def _below(base: Path, parent: Path) -> Path:
    """Names the stores of a data set for people, and by where it lies, for data sets may share a name."""
    place = parent.absolute()
    return base / "-".join([*place.parts[-3:-1], digest({"path": str(place)}, num_digits=8)])


def _is_read_only(folder: Path) -> bool:
    """Returns whether the system refuses to write a folder for good; a full disk is no such refusal."""
    try:
        _write_into(folder)
    except OSError as error:
        return error.errno in _READ_ONLY
    return False


def _can_be_written(folder: Path) -> bool:
    try:
        _write_into(folder)
    except OSError:
        return False
    return True


def _write_into(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # the right to do so says less on network file systems
        return
