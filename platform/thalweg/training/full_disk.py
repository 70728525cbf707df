"""What stopped a file from being written: torch says only that it could not, whatever the system told it."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from thalweg.errors import OutputError

_WRITER = ("pytorchstreamwriter", "file write failed", "unexpected pos", "iostream error", "no space left")
_PROBE_BYTES = 2**20


def cause_of(error: BaseException, folder: Path) -> OSError | None:
    """Returns the system's error behind a failure to write, None where something else failed.

    A RuntimeError of torch's writer names no cause: the folder is asked by writing into it, and a disk of which space
    was freed meanwhile was full.

    Args:
        error: What was raised.
        folder: Where it was written.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and not isinstance(link, ConnectionError | TimeoutError):
            return link
        link = link.__cause__ or link.__context__
    if not isinstance(error, RuntimeError):
        return None
    if cause := _probe(folder):
        return cause
    if any(word in str(error).lower() for word in _WRITER):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    return None


def refusal(what: str, place: Path, cause: OSError, way_out: str) -> OutputError:
    """Returns the error for a user, with the number of the system's own.

    Args:
        what: What must be writable.
        place: What could not be written.
        cause: The system's error.
        way_out: What to do.
    """
    found = OutputError(f"{what} must be writable, got {cause.strerror or cause} for {place}; {way_out}")
    found.errno = cause.errno
    return found


def _probe(folder: Path) -> OSError | None:
    file = folder / ".probe"
    try:
        with file.open("wb") as target:
            target.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
    return None
