"""Writes a folder file by file, so that the same command can resume or update it."""

import filecmp
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.errors import OutputError
from thalweg.files import LockHeld, discard, draft_of, drafts, locked, publish, writing


@contextmanager
def updated(target: Path, is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """Yields the folder to write to: `target` if it exists, else a draft beside it that is renamed to it at the end.

    If a process is killed, the next one reuses its draft.

    Args:
        target: The folder.
        is_own: Returns whether this import made a folder with content.

    Raises:
        OutputError: `target` has other content, cannot be written, or another process is writing it.
    """
    there = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if there and not (target.is_dir() and is_own(target)):
        raise OutputError(
            f"the folder must be new, empty, or made by the same import, got {target} with other content; "
            "remove it or choose another name"
        )
    folder = target if there else draft_of(target)
    with writing("data", folder, "free space there or change its permissions"):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for leftover in drafts(folder):
                discard(leftover)
            yield folder
            if not there:
                publish(folder, target)


def replace_file(path: Path, write: Callable[[Path], object]) -> bool:
    """Replaces a file atomically if its content changes; returns whether it did.

    Args:
        path: The file.
        write: Writes the content to the path that it is given.
    """
    draft = draft_of(path, own=True)
    write(draft)
    changes = not path.exists() or not filecmp.cmp(path, draft, shallow=False)
    if changes:
        publish(draft, path, overwrite=True)
    else:
        discard(draft)
    return changes


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock on a folder, which ends with the process; does nothing if the file system has no locks."""
    try:
        with locked(folder, max_wait_s=0.0):
            yield
    except LockHeld:
        raise OutputError(
            f"one process at a time may write {folder}, got a second one; wait for the first"
        ) from None
