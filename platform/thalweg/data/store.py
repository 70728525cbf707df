"""Prepared arrays on disk: a content-addressed, memory-mapped cache that all processes share.

A store is a folder ``PARENT/KEY/`` with one ``.npy`` file per array and ``facts.json``. It appears under its
name only when complete. Processes that start at once wait for the first one to prepare it. A killed process
leaves ``PARENT/KEY.partial/``, and the next resumes after the last step of its journal. If file locks do not work
(some network file systems), each process prepares the store from the start and the first to finish wins. A store
with truncated or missing files is prepared again. Readers share one copy through the page cache.

``PARENT`` lies beside the data, or elsewhere if the user says so or the data cannot be written: see
`thalweg.disk.store_place`.
"""

import errno
import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.data.preparation import PreparationJournal
from thalweg.disk import store_place
from thalweg.disk.store_place import STORE_VARIABLE
from thalweg.errors import OutputError
from thalweg.files import atomic_file, atomic_folder, discard, locked, move, publish, sync, writing
from thalweg.hashing import digest

_METADATA = "facts.json"
_HASHES = "content.json"
_GONE = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ESTALE,
}  # errors that a reader may meet while another process replaces a store


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        arrays: Read-only, memory-mapped arrays by name.
        metadata: The JSON values that the preparation returned.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    metadata: Mapping[str, Any]


class StoreWriter:
    """Creates the arrays of a store that is being prepared, step by step.

    Args:
        folder: Folder of the arrays; steps in its journal are not repeated.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = PreparationJournal(folder)
        self._touched: set[str] = set()
        self.sizes = {name: self._path(name).stat().st_size for name in self._journal.arrays}

    def create(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Returns a writable array of the store: zeros, or what earlier steps wrote.

        Steps may share an array if each writes all of its own part. Disk space is reserved first, because writing to a
        memory map on a full disk would kill the process.
        """
        path = self._path(name)
        self._touched.add(name)
        if name in self.sizes:
            return np.asarray(np.load(path, mmap_mode="r+"))
        array = np.lib.format.open_memmap(path, mode="w+", shape=shape, dtype=np.dtype(dtype))
        self.sizes[name] = path.stat().st_size
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(self.sizes[name], 1))
        return np.asarray(array)

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        """Copies a whole array into the store."""
        self.create(name, values.shape, values.dtype)[...] = values

    def step(self, name: str, work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Runs a step of the preparation, unless the journal records it; returns the result of the step.

        Args:
            name: Name of the step.
            work: Creates the arrays that it writes, and returns its result as JSON values.
        """
        if name not in self._journal.results:
            self._touched = set()
            result = work()
            self._sync(self._touched)
            self._journal.add(name, result, self._touched)
        return self._journal.results[name]

    def flush(self) -> None:
        """Writes every array to the disk (fsync)."""
        self._sync(self.sizes)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"

    def _sync(self, names: Iterable[str]) -> None:
        for name in names:
            sync(self._path(name))


Preparation = Callable[[StoreWriter], Mapping[str, Any]]


def key_of(parts: Mapping[str, Any]) -> str:
    """Returns the key of a store: a hash of everything that it depends on, given as JSON values."""
    return digest(parts, num_digits=20)


def open_store(parent: Path, key: str, prepare: Preparation) -> Store:
    """Opens the store `key` below `parent`, and prepares it first if it is missing or damaged.

    Args:
        parent: Folder of stores beside the data; `store_place` says where they lie instead.
        key: Name of the store, from `key_of`.
        prepare: Writes the arrays and returns the metadata as JSON values; if it raises, no store is left. It must be
            deterministic, because finished steps of a killed process are reused.

    Raises:
        OutputError: The store cannot be written.
    """
    for folder in store_place.readable(parent):
        if (found := _load(folder / key)) is not None:
            return found
    parent = store_place.writable(parent)
    with _writing(parent), locked(parent / f"{key}.lock") as alone:
        found = _load(parent / key)
        if found is None:
            _prepare(parent, key, prepare, alone=alone)
            found = _load(parent / key)
    if found is None:
        raise OutputError(f"a prepared store must stay in place, got none at {parent / key}; start again")
    return found


def content_hashes(paths: Mapping[str, Path], parent: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file's content, from a cache in `parent` for files that have not changed.

    A file is unchanged if its name, size and both time stamps are equal. The cache keeps files of other names.

    Args:
        paths: Files by unique names.
        parent: Folder of stores beside the data, in which the cache lies.
    """
    caches = [_read_json(folder / _HASHES) for folder in store_place.readable(parent)]
    cache = {stamp: known for each in reversed(caches) for stamp, known in each.items()}
    stamps = {name: _stamp(name, path) for name, path in paths.items()}
    fresh = {stamp: _digest(name, paths[name], stamp) for name, stamp in stamps.items() if stamp not in cache}
    if fresh:
        parent = store_place.writable(parent)
        with _writing(parent):
            kept = {
                stamp: known
                for stamp, known in cache.items()
                if stamp in stamps.values() or stamp.rsplit(":", 3)[0] not in paths
            }
            _write_json(parent / _HASHES, kept | fresh)
    return {name: str(cache.get(stamp) or fresh[stamp]) for name, stamp in stamps.items()}


def release(array: npt.NDArray[Any]) -> None:
    """Gives back the memory that holds what was touched of a store's array; its bytes stay in the file.

    The system would do so by itself, but only once memory is short.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields a folder beside `target` and renames it to `target` if the block succeeds.

    Raises:
        OutputError: `target` is not empty, or cannot be written.
    """
    with _writing(target.parent):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OutputError(
                f"the folder must be new or empty, got {target} with content; "
                "remove it or choose another name"
            )
        with atomic_folder(target) as draft:
            yield draft


def _partial(parent: Path, key: str, alone: bool) -> Path:
    """Returns the folder in which to prepare a store; under the lock, that of a process that was killed."""
    if not alone:
        return Path(tempfile.mkdtemp(prefix=f"{key}.partial-", dir=parent))
    for leftover in parent.glob(f"{key}.partial-*"):
        discard(leftover)
    folder = parent / f"{key}.partial"
    folder.mkdir(exist_ok=True)
    return folder


def _prepare(parent: Path, key: str, prepare: Preparation, *, alone: bool) -> None:
    folder, final = _partial(parent, key, alone), parent / key
    try:
        folder.chmod(0o755)
        writer = StoreWriter(folder)
        metadata = dict(prepare(writer))
        writer.flush()
        _write_json(folder / _METADATA, {"facts": metadata, "sizes": writer.sizes})
        _publish(folder, final)
    except BaseException as error:
        if isinstance(error, Exception) or not alone:  # after an interrupt the next process goes on
            discard(folder)
        if not isinstance(error, OSError) or _load(final) is None:  # otherwise another process was first
            raise


def _publish(folder: Path, final: Path) -> None:
    """Gives a complete store its name, unless an undamaged store has it, whose readers keep their files."""
    if final.exists() and _load(final) is None:
        damaged = folder.with_name(f"{folder.name}-damaged")
        move(final, damaged)
        if _load(damaged) is not None:  # another process was between the two
            move(damaged, final)
        discard(damaged)
    publish(folder, final)  # refused where a store is


def _load(folder: Path) -> Store | None:
    """Opens a complete store; None if it is missing, vanishes, or a file does not have its recorded size."""
    written = _read_json(folder / _METADATA)
    if not written:
        return None
    try:
        paths = {name: folder / f"{name}.npy" for name in written["sizes"]}
        if any(path.stat().st_size != written["sizes"][name] for name, path in paths.items()):
            return None
        arrays = {name: np.asarray(np.load(path, mmap_mode="r")) for name, path in paths.items()}
    except ValueError:
        return None
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return None
    return Store(arrays=arrays, metadata=written["facts"])


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Makes `folder` and turns failures to write below it into an `OutputError`."""
    with writing("data", folder, f"free space there, change its permissions or set {STORE_VARIABLE}"):
        folder.mkdir(parents=True, exist_ok=True)
        yield


def _stamp(name: str, path: Path) -> str:
    stat = path.stat()
    return f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _digest(name: str, path: Path, stamp: str) -> str:
    """Hashes a file; hashes it again if it changed meanwhile."""
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
    except json.JSONDecodeError:
        return {}
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file at once."""
    with atomic_file(path) as draft:
        draft.write_text(json.dumps(content, sort_keys=True, indent=1))
