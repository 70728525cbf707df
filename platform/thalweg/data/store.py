"""Prepared arrays on disk: named by a hash of what they depend on, memory-mapped, shared by all processes.

A store is a folder ``PARENT/KEY/`` with one ``.npy`` file per array and ``facts.json``. It appears under its
name only when complete. Processes that start at once wait for the first one to prepare it; where file locks
do not work (some network file systems), each prepares it and the first to finish wins. A store whose files
have lost bytes is prepared again. Readers share one copy through the page cache.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import OutputError
from thalweg.hashing import digest

_FACTS = "facts.json"
_HASHES = "content.json"


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        arrays: Read-only arrays by name; their bytes stay in the file until touched.
        facts: What the preparation returned.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]


class StoreWriter:
    """Creates the arrays of a store that is being prepared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sizes: dict[str, int] = {}

    def create(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Returns a writable array of zeros that lives in the store.

        Its bytes are reserved first, for a memory map on a full disk would end the process.
        """
        path = self._folder / f"{name}.npy"
        array = np.lib.format.open_memmap(path, mode="w+", shape=shape, dtype=np.dtype(dtype))
        self.sizes[name] = path.stat().st_size
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(self.sizes[name], 1))
        return np.asarray(array)

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        """Copies a whole array into the store."""
        self.create(name, values.shape, values.dtype)[...] = values

    def flush(self) -> None:
        """Makes every array durable."""
        for name in self.sizes:
            with (self._folder / f"{name}.npy").open("r+b") as file:
                os.fsync(file.fileno())


Preparation = Callable[[StoreWriter], Mapping[str, Any]]


def key_of(parts: Mapping[str, Any]) -> str:
    """Returns a short name for everything a store depends on, given as JSON values."""
    return digest(parts, num_digits=20)


def open_store(parent: Path, key: str, prepare: Preparation) -> Store:
    """Opens the store `key` below `parent`; prepares it first where it is missing or damaged.

    Args:
        parent: Folder of stores; made if missing.
        key: Name of the store, from `key_of`.
        prepare: Writes the arrays and returns the facts as JSON values; if it raises, no store is left.

    Raises:
        OutputError: The store cannot be written.
    """
    found = _load(parent / key)
    if found is not None:
        return found
    with _writing(parent), _locked(parent / f"{key}.lock") as locked:
        found = _load(parent / key)
        if found is None:
            if locked:
                _sweep(parent, key)
            _prepare(parent, key, prepare)
            found = _load(parent / key)
    if found is None:
        raise OutputError(f"a prepared store must stay in place, got none at {parent / key}; start again")
    return found


def content_hashes(paths: Mapping[str, Path], parent: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file's content, from a cache in `parent` for files that have not changed.

    A file counts as unchanged while name, size and both time stamps are equal.

    Args:
        paths: Files by names that tell them apart.
        parent: Folder of the cache; made if missing.
    """
    cache = _read_json(parent / _HASHES)
    stamps = {name: _stamp(name, path) for name, path in paths.items()}
    fresh = {stamp: _digest(name, paths[name], stamp) for name, stamp in stamps.items() if stamp not in cache}
    if fresh:
        with _writing(parent):
            kept = {stamp: cache[stamp] for stamp in stamps.values() if stamp in cache}
            _write_json(parent / _HASHES, kept | fresh)
    return {name: str(cache.get(stamp) or fresh[stamp]) for name, stamp in stamps.items()}


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields a folder beside `target` that takes its name once the block has succeeded.

    Raises:
        OutputError: `target` is not empty, or cannot be written.
    """
    with _writing(target.parent):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OutputError(
                f"the folder must be new or empty, got {target} with content; "
                "remove it or choose another name"
            )
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield folder
            folder.chmod(0o755)
            folder.rename(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _prepare(parent: Path, key: str, prepare: Preparation) -> None:
    final = parent / key
    folder = Path(tempfile.mkdtemp(prefix=f"{key}.partial-", dir=parent))
    try:
        folder.chmod(0o755)
        writer = StoreWriter(folder)
        facts = dict(prepare(writer))
        writer.flush()
        _write_json(folder / _FACTS, {"facts": facts, "sizes": writer.sizes})
        if final.exists():
            shutil.rmtree(final, ignore_errors=True)  # damaged: `_load` refused it
        folder.rename(final)
    except OSError:
        if _load(final) is None:  # otherwise another process without the lock was first
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(folder: Path) -> Store | None:
    """Opens a complete store; None where it is missing or its files do not have their sizes."""
    written = _read_json(folder / _FACTS)
    if not written:
        return None
    try:
        paths = {name: folder / f"{name}.npy" for name in written["sizes"]}
        if any(path.stat().st_size != written["sizes"][name] for name, path in paths.items()):
            return None
        arrays = {name: np.asarray(np.load(path, mmap_mode="r")) for name, path in paths.items()}
    except (FileNotFoundError, ValueError):
        return None
    return Store(arrays=arrays, facts=written["facts"])


def _sweep(parent: Path, key: str) -> None:
    """Removes what killed preparations of this store left; only under the lock."""
    for leftover in parent.glob(f"{key}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Holds an exclusive lock that dies with the process; yields False where the file system has none."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Makes `folder` and turns failures to write below it into an `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{folder} must be a folder that can be written, got {error.strerror or error}; "
            "free space there, change its permissions or set THALWEG_DATA"
        ) from None


def _stamp(name: str, path: Path) -> str:
    stat = path.stat()
    return f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _digest(name: str, path: Path, stamp: str) -> str:
    """Hashes a file; a file that changed meanwhile is hashed again."""
    while True:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        now = _stamp(name, path)
        if now == stamp:
            return content
        stamp = now


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file at once."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file, sort_keys=True, indent=1)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)
