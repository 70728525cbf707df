"""Appends whole lines to a file, atomically and durably, also if the writer is killed or the disk is full.

Python's buffered files cannot undo a write that a full disk cut short, because truncating a file first flushes its
buffer. So this module uses system calls only.
"""

import os
from contextlib import suppress
from pathlib import Path

from thalweg.files import lock

_BLOCK = 4096


def append(file: Path, lines: bytes, *, locked: bool = False) -> None:
    """Appends lines to a file, all of them or none, and waits until they are on the disk.

    Half a line that an earlier writer left at the end is cut off first.

    Args:
        file: The file; made if missing.
        lines: The lines to add; they end with a line break.
        locked: Whether to hold the ``flock`` of the file meanwhile; required if several processes append.

    Raises:
        OSError: The file cannot be written; its content is the same as before.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if locked:
            lock(handle)
        end = _cut_half_line(handle)
        try:
            _write(handle, lines, end)
            os.fsync(handle)  # some file systems report only here that they are full
        except BaseException:  # Ctrl-C may leave half a line, too
            with suppress(OSError):  # then the next writer cuts it off
                os.ftruncate(handle, end)
            raise
    finally:
        os.close(handle)


def _write(handle: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        num_written = os.pwrite(handle, left, offset)
        left, offset = left[num_written:], offset + num_written


def _cut_half_line(handle: int) -> int:
    """Cuts off what follows the last line break; returns the size that is left."""
    size = end = os.fstat(handle).st_size
    while end > 0:
        start = max(end - _BLOCK, 0)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
    return end
