"""Stops a computation between two operations, once its time has passed or the memory of this machine runs short."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.errors import ThalwegError
from thalweg.search.checks.judgement import Deadline
from thalweg.training.guards.control_groups import memory_mib

MAX_SHARE = 0.8
"""Share of the memory that this process may take, of all that it and its like may have."""
_OWN = Path("/proc/self/statm")
_BETWEEN = 16  # operations from a look at the memory to the next
_MIB = 2**20


class StoppedError(ThalwegError):
    """A computation was stopped, which tells of its cost and of no fault."""


class Stopper(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stops what runs inside, forward and backward, before an operation for which no time or memory is left.

    Args:
        deadline: When to stop.
        max_mib: Memory that this process may take; None is a share of what it may have.
    """

    def __init__(self, deadline: Deadline, max_mib: float | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._deadline = deadline
        self._max_mib = MAX_SHARE * memory_mib() if max_mib is None else max_mib
        self._count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs an operation, if there is time and memory left.

        Raises:
            StoppedError: There is none.
        """
        if self._deadline.has_passed:
            raise StoppedError("a computation must end in its time, got one that did not; give it more")
        if self._count % _BETWEEN == 0 and (taken := own_mib()) > self._max_mib:
            raise StoppedError(
                f"a computation must leave memory to others, got {taken:,.0f} of {self._max_mib:,.0f} MiB taken; take "
                "smaller models"
            )
        self._count += 1
        return func(*args, **(kwargs or {}))


def own_mib(file: Path = _OWN) -> float:
    """Returns the memory that this process holds in MiB; 0 where the kernel does not tell."""
    try:
        pages = file.read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / _MIB
