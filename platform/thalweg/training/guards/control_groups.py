"""The kernel's control groups of this process: a container or a job may have less memory than its machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
MOUNTED = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory.limit_in_bytes")  # of versions 2 and 1
_MIB = 2**20


def memory_mib(proc: Path = PROC, mounted: Path = MOUNTED) -> float:
    """Returns the memory that this process and its like may take together, in MiB.

    It is that of the machine, or less if a control group, or one that it lies in, allows less.

    Args:
        proc: Mount point of procfs.
        mounted: Mount point of the control groups.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits += [int(text) for text in texts(_LIMITS, proc, mounted) if text.strip().isdecimal()]
    return min(limits) / _MIB


def texts(names: tuple[str, ...], proc: Path = PROC, mounted: Path = MOUNTED) -> Iterator[str]:
    """Yields the texts of files of this process's control groups for memory, its own ones before those they lie in.

    Args:
        names: Names of the files.
        proc: Mount point of procfs.
        mounted: Mount point of the control groups.
    """
    for folder in _folders(proc, mounted):
        for name in names:
            if (text := _text(folder / name)) is not None:
                yield text


def _folders(proc: Path, mounted: Path) -> Iterator[Path]:
    for line in (_text(proc / "self" / "cgroup") or "").splitlines():
        _, kinds, own = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root = mounted / "memory" if kinds else mounted
        folder = root / own.strip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root))


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None
