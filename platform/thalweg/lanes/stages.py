"""What a lane that starts is doing: a small file of each lane, which its processes write and a view reads.

A lane's trainable answers nobody while it starts, and its worker is not known to anyone yet. What cannot be written is
left out: nobody waits for it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_SUFFIX = ".stage"


def stage_file(lanes: Path, name: str) -> Path:
    """Returns the file of a lane.

    Args:
        lanes: Folder of a study's lanes.
        name: Name of the lane.
    """
    return lanes / f"{name}{_SUFFIX}"


def begin(file: Path, stage: str) -> None:
    """Writes down what a lane begins to do.

    Args:
        file: The lane's file.
        stage: A few words for people, such as ``importing torch``.
    """
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(stage)


def end(file: Path) -> None:
    """Forgets a lane, which has started or is given up."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def current(lanes: Path, since: float) -> list[tuple[str, float]]:
    """Returns what each lane that starts is doing, and for how many seconds, in the order of the lanes' names.

    Args:
        lanes: Folder of a study's lanes.
        since: Files from before this moment, in seconds since 1970, are left over from lanes that were killed.
    """
    found = []
    for file in sorted(lanes.glob(f"*{_SUFFIX}")):
        with suppress(OSError):  # the lane has started meanwhile
            began, stage = file.stat().st_mtime, file.read_text()
            if stage and began >= since:  # empty: is being written
                found.append((stage, max(time.time() - began, 0.0)))
    return found
