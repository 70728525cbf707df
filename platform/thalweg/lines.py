"""Files that grow by whole lines, whatever kills or stops who writes them.

Python's own buffered files cannot take back what a full disk cut short: truncating one first writes what it still
holds. These write through the system's calls alone.
"""

import os
from contextlib import suppress
from pathlib import Path

from thalweg.files import lock

_BLOCK = 4096


def append(file: Path, lines: bytes, *, locked: bool = False) -> None:
    """Adds lines at the end of a file, all of them or none, and waits until they are on the disk.

    Half a line that an earlier writer left at the end is cut off first.

    Args:
        file: Made where it is missing.
        lines: What is added; ends with a line break.
        locked: Whether several processes append, one of which at a time may (``flock``; it lets go when one dies).

    Raises:
        OSError: The file cannot be written. It ends as it did before.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if locked:
            lock(handle)
        end = _cut_half_line(handle)
        try:
            _write(handle, lines, end)
            os.fsync(handle)  # some file systems find only here that they are full
        except BaseException:  # a Ctrl-C in the middle of it leaves half a line, too
            with suppress(OSError):  # then the next one who appends cuts it off
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
