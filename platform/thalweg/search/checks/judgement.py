"""The verdict of one check of a space, and the time that all of them may take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal

Mark = Literal["passed", "warned", "failed", "not reached"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a check found in a space.

    Attributes:
        check: Name of the check.
        faults: What is wrong, a sentence each; a space with faults fails.
        warnings: What a user should know before a search, a sentence each.
        told: What was found, in a few words.
        notes: What a user may want to know, a sentence each.
        skipped: What was left out, such as for time, a sentence each.
        numbers: What was measured, as JSON values.
        seconds: Time that it took.
        is_reached: Whether the check ran; it did not if what it needs has failed.
        is_sure: Whether it came to its end; it did not if what the space or its family raised is the fault.
    """

    check: str
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    told: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    is_reached: bool = True
    is_sure: bool = True

    @property
    def mark(self) -> Mark:
        """The verdict in a word."""
        if not self.is_reached:
            return "not reached"
        return "failed" if self.faults else "warned" if self.warnings else "passed"

    def as_json(self) -> dict[str, Any]:
        """Returns the verdict as JSON values."""
        lists = {
            "faults": self.faults,
            "warnings": self.warnings,
            "notes": self.notes,
            "skipped": self.skipped,
        }
        return {
            "check": self.check,
            "verdict": self.mark,
            "told": self.told,
            **{name: list(sentences) for name, sentences in lists.items()},
            "numbers": dict(self.numbers),
            "seconds": round(self.seconds, 3),
        }


class Deadline:
    """A point in time at which a check stops looking for more.

    Args:
        seconds: Time from now on.
        called_off: Ends it, and those of its shares, earlier; another thread may set it.
    """

    def __init__(self, seconds: float, called_off: Event | None = None) -> None:
        self._end = time.monotonic() + seconds
        self._called_off = called_off or Event()

    @property
    def left(self) -> float:
        """Seconds that are left; 0 if the time has passed."""
        return 0.0 if self._called_off.is_set() else max(0.0, self._end - time.monotonic())

    @property
    def has_passed(self) -> bool:
        """Whether no time is left."""
        return self.left == 0.0

    def share(self, ratio: float) -> Deadline:
        """Returns the end of a share of the time that is left."""
        return Deadline(self.left * ratio, self._called_off)
