"""Atomic, durable writes of files and folders, and file locks.

A file or folder is written as a draft beside its final path, flushed to the disk (fsync), and then renamed. So what
exists under its final name is complete, even after a power cut or a killed writer. Locks are the kernel's (``flock``):
they end with the process that holds them. `thalweg.lines` appends lines to files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from thalweg.errors import OutputError, ThalwegError

_PARTIAL = ".{}.partial"
_POLL_S = 0.1
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # what some network file systems answer for folders
_FULL = (errno.ENOSPC, errno.EDQUOT)
_WRITER = ("pytorchstreamwriter", "file write failed", "unexpected pos", "iostream error", "no space left")
_PROBE_BYTES = 2**20


class LockHeld(BlockingIOError):
    """Another process holds a lock."""


def draft_of(path: Path, *, own: bool = False) -> Path:
    """Returns the path of a draft of a file or folder: beside it, hidden, under a name that `drafts` finds.

    Args:
        path: The final path.
        own: Whether the name is unique to this call, so that several processes may write at once. Otherwise all calls
            return the same name, so that processes can write together, or the next one can resume.
    """
    unique = f".{os.getpid()}-{uuid.uuid4().hex[:8]}" if own else ""
    return path.with_name(_PARTIAL.format(f"{path.name}{unique}"))


def drafts(folder: Path) -> list[Path]:
    """Returns the drafts in a folder: leftovers of processes that died, and drafts that others are writing."""
    return sorted(folder.glob(_PARTIAL.format("*")))


@contextmanager
def atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yields the path to write a file to; it is renamed if the block succeeds, and deleted if not.

    Args:
        path: Final path of the file; its folder must exist.
        overwrite: Whether to replace a file of this name.

    Raises:
        FileExistsError: A file has this name, and ``overwrite`` is False.
        OSError: It cannot be written.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or pipe takes what it is given
        yield path
        return
    draft = draft_of(path, own=True)
    try:
        yield draft
        publish(draft, path, overwrite=overwrite)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields an empty folder to write to; it is renamed if the block succeeds, and deleted if not.

    Args:
        path: Final path of the folder; its parents are made.
        overwrite: Whether to replace a folder with content.

    Raises:
        OSError: It cannot be written, or a folder with content has this name and ``overwrite`` is False.
    """
    draft = draft_of(path, own=True)
    try:
        draft.mkdir(parents=True)
        yield draft
        publish(draft, path, overwrite=overwrite)
    finally:
        discard(draft)


def publish(draft: Path, path: Path, *, overwrite: bool = False) -> None:
    """Flushes a draft to the disk and renames it to its final path.

    Args:
        draft: A file or a folder, on the file system of ``path``.
        path: The final path.
        overwrite: Whether to replace what has this name.

    Raises:
        OSError: It cannot be written, or something other than an empty folder has this name.
    """
    sync(draft)
    if draft.is_dir():
        _name_folder(draft, path, overwrite)
    elif overwrite:
        os.replace(draft, path)
    else:
        _name_file(draft, path)
    _sync_path(path.parent)


def move(source: Path, target: Path) -> None:
    """Renames a file or folder that is on the disk already, durably.

    Raises:
        OSError: It cannot be renamed.
    """
    os.rename(source, target)
    _sync_path(target.parent)


def sync(path: Path) -> None:
    """Flushes a file, or a folder with all that it holds, to the disk (fsync), with the names.

    Raises:
        OSError: It cannot be written; some file systems notice only here that they are full.
    """
    if path.is_dir() and not path.is_symlink():
        for inner in path.rglob("*"):
            if not inner.is_symlink() and (inner.is_file() or inner.is_dir()):
                _sync_path(inner)
    _sync_path(path)


def copy_folder(source: Path, target: Path) -> None:
    """Copies the content of a folder into a new one; uses hard links if the file system has them.

    Raises:
        OSError: It cannot be written.
    """
    shutil.copytree(source, target, copy_function=_link_or_copy, dirs_exist_ok=True)


def discard(path: Path) -> None:
    """Deletes a file or folder as far as possible, without raising; of a link, the link only."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def locked(path: Path, *, max_wait_s: float | None = None, temporary: bool = False) -> Iterator[bool]:
    """Holds an exclusive lock during a block; the kernel releases it if this process dies.

    Args:
        path: A folder, or a file, which is made if missing.
        max_wait_s: Longest wait for another process; None waits for ever.
        temporary: Whether the process that held the lock removes the file.

    Yields:
        Whether the lock is held: False if the file system supports none.

    Raises:
        LockHeld: Another process has the lock.
        OSError: The file cannot be opened.
    """
    deadline = None if max_wait_s is None else time.monotonic() + max_wait_s
    handle, held = _locked_handle(path, deadline)
    try:
        yield held
    finally:
        if temporary:
            path.unlink(missing_ok=True)
        os.close(handle)


def lock(handle: int | IO[bytes], *, wait: bool = True, shared: bool = False) -> None:
    """Locks an open file until it is closed or the process dies.

    Args:
        handle: Descriptor of the file.
        wait: Whether to wait for other processes.
        shared: Whether others may hold a shared lock at the same time.

    Raises:
        LockHeld: Another process has a lock.
        OSError: The file system supports no locks.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        raise LockHeld(errno.EAGAIN, "another process holds the lock") from None


@contextmanager
def writing(what: str, place: Path, way_out: str) -> Iterator[None]:
    """Turns write errors of the system into an `OutputError` for the user; other errors pass.

    Args:
        what: What is written, such as ``checkpoints``.
        place: The file or folder.
        way_out: What the user can do.

    Raises:
        OutputError: It cannot be written; ``errno`` is that of the system.
    """
    try:
        yield
    except ThalwegError:
        raise
    except OSError as error:
        raise refusal(what, place, error, way_out) from error


def refusal(what: str, place: Path, cause: OSError, way_out: str) -> OutputError:
    """Returns the error of `writing` for a failure to write, with its ``errno``."""
    found = OutputError(f"{what} must be writable, got {cause.strerror or cause} for {place}; {way_out}")
    found.errno = cause.errno
    return found


def is_full_disk(error: BaseException | str) -> bool:
    """Returns whether an error, one of its causes, or an error text from another process reports a full disk."""
    if isinstance(error, str):
        return any(os.strerror(number) in error for number in _FULL)
    return any(getattr(link, "errno", None) in _FULL or is_full_disk(str(link)) for link in _chain(error))


def cause_of(error: BaseException, folder: Path) -> OSError | None:
    """Returns the system's error behind a failure to write; None if something else failed.

    A RuntimeError of torch's writer names no cause. It is found by writing into the folder; if this succeeds, the disk
    was full and space has been freed since.

    Args:
        error: What was raised.
        folder: Where it was written.
    """
    for link in _chain(error):
        if isinstance(link, OSError) and not isinstance(link, ConnectionError | TimeoutError):
            return link
    if not isinstance(error, RuntimeError):
        return None
    if cause := _probe(folder):
        return cause
    if any(word in str(error).lower() for word in _WRITER):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__ or link.__context__


def _probe(folder: Path) -> OSError | None:
    file = folder / ".probe"
    try:
        with file.open("wb") as target:
            target.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error
    finally:
        with suppress(OSError):
            file.unlink()
    return None


def _name_folder(draft: Path, path: Path, overwrite: bool) -> None:
    if not overwrite or not (path.exists() or path.is_symlink()):
        os.rename(draft, path)
        return
    old = draft_of(path, own=True)
    os.rename(path, old)
    try:
        os.rename(draft, path)
    except BaseException:
        os.rename(old, path)
        raise
    discard(old)


def _name_file(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # unlike a renaming it never replaces what another program has just made
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(draft, path)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC or not path.is_dir():
            raise
    finally:
        os.close(handle)


def _locked_handle(path: Path, deadline: float | None) -> tuple[int, bool]:
    """Returns an open handle and whether it is locked; the file still has its name then."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    while True:
        handle = os.open(path, flags | os.O_CLOEXEC, 0o666)
        try:
            lock(handle, wait=deadline is None)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle, True
        except FileNotFoundError:  # whoever held the lock has removed the file
            pass
        except LockHeld:
            if deadline is None or time.monotonic() >= deadline:
                os.close(handle)
                raise
            time.sleep(_POLL_S)
        except OSError:
            return handle, False
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
