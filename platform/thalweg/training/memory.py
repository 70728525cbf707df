"""The most memory that a trial held at once."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import ClassVar

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MIB = 2**20


class PeakMemory:
    """Measures from its creation on, or from the last `restart`.

    On a GPU it is the peak of torch's allocator. On a CPU it is how far the resident memory of the process rises above
    its level before its first trial, without pages of mapped files, which all processes of a machine share. What the
    C library keeps of earlier trials counts, so that it is good to some ten MiB only.

    Args:
        device: Where the trial computes.
    """

    _level: ClassVar[dict[str, float] | None] = None

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start: dict[str, float] | None = None
        self.restart()

    def restart(self) -> None:
        """Forgets earlier peaks."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        # What earlier trials freed but the C library kept would hide what this one takes.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)
        try:
            _CLEAR.write_text("5")  # resets the high-water mark, see proc(5)
            self._start = PeakMemory._level = PeakMemory._level or _resident()
        except OSError:  # a container may forbid it
            self._start = None

    def mib(self) -> float | None:
        """Returns the peak in MiB; None where the system does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _MIB
        if self._start is None:
            return None
        now = _resident()
        risen = now["VmHWM"] - self._start["VmRSS"] - max(now["RssFile"] - self._start["RssFile"], 0.0)
        return max(risen, 0.0)


def _resident() -> dict[str, float]:
    """Returns the resident memory of this process, its peak and its mapped files, in MiB."""
    found = re.findall(r"^(VmHWM|VmRSS|RssFile):\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return {name: int(size) / 1024 for name, size in found}
