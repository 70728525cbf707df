"""Folders that are written file by file, and that the same command can resume and update."""

import fcntl
import filecmp
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.errors import OutputError


@contextmanager
def updated(target: Path, is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """Yields the folder to write to: `target` if it exists, else one beside it that is renamed to it at the end.

    The folder beside `target` of a killed process is reused by the next.

    Args:
        target: The folder.
        is_own: Returns whether a folder with content was made by this import.

    Raises:
        OutputError: `target` has other content, cannot be written, or another process is writing it.
    """
    there = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if there and not (target.is_dir() and is_own(target)):
        raise OutputError(
            f"the folder must be new, empty, or made by the same import, got {target} with other content; "
            "remove it or choose another name"
        )
    folder = target if there else target.with_name(f".{target.name}.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for leftover in folder.glob(".*.new"):
                leftover.unlink()
            yield folder
            if not there:
                folder.rename(target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{folder} must be a folder that can be written, got {error.strerror or error}; "
            "free space there or change its permissions"
        ) from None


def replace_file(path: Path, write: Callable[[Path], object]) -> bool:
    """Replaces a file atomically if its content changes; returns whether it did.

    Args:
        path: The file.
        write: Writes the content to the path that it is given.
    """
    new = new_name(path)
    write(new)
    if path.exists() and filecmp.cmp(path, new, shallow=False):
        new.unlink()
        return False
    new.replace(path)
    return True


def new_name(path: Path) -> Path:
    """Returns the path beside a file at which its replacement is written."""
    return path.with_name(f".{path.name}.{os.getpid()}.new")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock on a folder, which the kernel releases with the process; none if there are no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OutputError(
            f"one process at a time may write {folder}, got a second one; wait for the first"
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(handle)
