"""A trial's training curve and peak memory."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.training.messages import named_by_stage


class Curve:
    """Summarises training steps as the points of a curve, one each time ``spacing`` samples have passed.

    Args:
        due: Samples at the next evaluation, where the last point falls.
        spacing: Samples per point.
        start: Samples seen so far.
    """

    def __init__(self, due: int, spacing: int, start: int) -> None:
        self._due = due
        self._spacing = spacing
        self._next = start + spacing
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, Tensor | float] = {}
        # The step since the last point.
        self._last: tuple[int, Mapping[str, float], float, Tensor | float | None] | None = None
        self._points: list[tuple[int, dict[str, float]]] = []

    def add(
        self,
        samples: int,
        sums: Mapping[str, Tensor | float],
        counts: Mapping[str, Tensor | float],
        weights: Mapping[str, float],
        lr: float,
        norm: Tensor | float | None,
    ) -> None:
        """Adds a step: the loss parts as sums with counts, the weights used, the learning rate, the gradient's norm.

        Sums, counts and norm may lie on a GPU; they are read when a point is closed. The learning rate is the largest
        one if parameter groups have different ones. A point holds the norm of its last step if that is finite.
        """
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0.0) + counts[name]
        self._last = (samples, weights, lr, norm)
        if samples >= self._next or samples >= self._due:
            self._close_point()

    def _close_point(self) -> None:
        if self._last is None:
            return
        samples, weights, lr, norm = self._last
        counts = {name: float(count) for name, count in self._counts.items()}
        parts = {name: float(self._sums[name]) / count for name, count in counts.items() if count > 0}
        point = {f"loss/{name}": value for name, value in parts.items()}
        point |= {f"weight/{name}": float(weight) for name, weight in weights.items()}
        point["loss/weighted"] = sum(weights[name] * value for name, value in parts.items())
        point["lr"] = lr
        if norm is not None and math.isfinite(norm):
            point["grad_norm"] = float(norm)
        self._points.append((samples, point))
        self._sums, self._counts, self._last = {}, {}, None
        self._next = samples + self._spacing

    def end_stage(self, samples: int, stage: str, metrics: Mapping[str, float]) -> None:
        """Adds the metrics at the end of a stage, as ``after_STAGE/NAME``; no point mixes the losses of two stages."""
        self._close_point()
        self._points.append((samples, named_by_stage({stage: metrics})))

    def points(self) -> tuple[tuple[int, dict[str, float]], ...]:
        """Returns the points collected so far."""
        return tuple(self._points)


_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MIB = 2**20


class PeakMemory:
    """The peak memory of a trial since this object was made, or since the last `restart`.

    On a GPU it is the peak of torch's allocator. On a CPU it is how far the resident memory of the process rises above
    its level before its first trial, without pages of mapped files, which all processes of a machine share. Memory
    that the C library keeps from earlier trials counts too, so the result is accurate to some ten MiB only.

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
        """Returns the peak in MiB; None if the system does not measure it."""
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
