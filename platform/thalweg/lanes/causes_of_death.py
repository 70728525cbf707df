"""Explains the death of a worker's process from the traces that it, the kernel and Ray leave.

Only the parent of a process learns the signal that ended it, and Ray's node manager, the parent here, does not pass
it on. So a worker writes a trace for every signal that it can handle. Without a trace the signal was the one that it
cannot handle: SIGKILL. Lack of memory is given as the reason only if the kernel or Ray counted it.
"""

from __future__ import annotations

import faulthandler
import re
import signal
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.events import EndedAs
from thalweg.training.guards.control_groups import MOUNTED, PROC, texts

NO_MEMORY = "its machine ran out of memory"
PREEMPTED = "its machine was preempted"
WITHOUT_TRACE = f"it was killed without a trace, as by signal {signal.SIGKILL:d} (SIGKILL)"
MAX_REASON_LENGTH = 300

# faulthandler's names of the signals that it handles.
_FATAL = {
    "Segmentation fault": signal.SIGSEGV,
    "Aborted": signal.SIGABRT,
    "Bus error": signal.SIGBUS,
    "Floating point exception": signal.SIGFPE,
    "Floating-point exception": signal.SIGFPE,
    "Illegal instruction": signal.SIGILL,
}
_KILLS = ("memory.events", "memory.oom_control")  # files of control groups, of versions 2 and 1
_VANISHED = "unexpectedly exits with a connection error"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Data that a worker records when it starts, to explain its death later.

    Attributes:
        node: Name of its machine.
        trace: File into which it writes when a signal ends it; empty if no file can be written.
        num_oom_kills: Processes that the kernel had ended on its machine for lack of memory; None if not counted.
    """

    node: str = ""
    trace: str = ""
    num_oom_kills: int | None = None


def leave_evidence(trace: Path) -> Evidence:
    """Makes this process write its traceback into a file when a signal ends it.

    Args:
        trace: The file; if it cannot be made, the traceback goes to Ray's logs only.
    """
    node = socket.gethostname()
    try:
        trace.parent.mkdir(parents=True, exist_ok=True)
        # Open as long as the process lives: a signal handler cannot open files.
        file = trace.open("w")
    except OSError:
        return Evidence(node=node, num_oom_kills=num_oom_kills())
    faulthandler.disable()  # Ray's own handlers were installed later, and do not call this one
    faulthandler.enable(file)
    _OPEN.append(file)
    return Evidence(node=node, trace=str(trace), num_oom_kills=num_oom_kills())


_OPEN: list[Any] = []


def num_oom_kills(proc: Path = PROC, mounted: Path = MOUNTED) -> int | None:
    """Returns how many processes the kernel has ended for lack of memory, in this control group or on this machine.

    Args:
        proc: Mount point of procfs.
        mounted: Mount point of the control groups.
    """
    for text in (*texts(_KILLS, proc, mounted), *_of_machine(proc)):
        if found := re.search(r"^oom_kill (\d+)$", text, re.MULTILINE):
            return int(found[1])
    return None


def _of_machine(proc: Path) -> Iterator[str]:
    with suppress(OSError):
        yield (proc / "vmstat").read_text()


def explain(
    said: Mapping[int, str], before: Sequence[Evidence | None], after: Sequence[Evidence | None]
) -> str:
    """Returns why workers are gone, as part of a sentence.

    Args:
        said: Ray's error text for each worker that raised or is gone, by rank.
        before: Evidence of the lost workers, by rank.
        after: Evidence of the workers that replaced them, by rank.
    """
    if traced := [text for text in (_traced(evidence) for evidence in before) if text]:
        return traced[0]
    kinds = [read(text) for text in said.values()]
    if PREEMPTED in kinds:
        return PREEMPTED
    if NO_MEMORY in kinds:
        return NO_MEMORY
    if WITHOUT_TRACE in kinds:
        return NO_MEMORY if _killed_for_memory(before, after) else WITHOUT_TRACE
    # A worker that lost its connection to a dead one raises; the dead one is the reason.
    gone = [kind for kind, text in zip(kinds, said.values(), strict=True) if "actor" in text.lower()]
    return next(iter(gone or kinds), "its processes are gone")


def read(text: str) -> str:
    """Returns the cause of death that a Ray error states, as part of a sentence."""
    if text.startswith(PREEMPTED):
        return PREEMPTED
    if "OutOfMemoryError" in text or re.search("low on memory|out of memory", text):
        return NO_MEMORY
    if "receives a SIGTERM" in text:
        return f"it was ended by signal {signal.SIGTERM:d} (SIGTERM)"
    if _VANISHED in text:
        return WITHOUT_TRACE
    if re.search(r"node (has )?died|node is dead|node was terminated", text):
        return "its machine is gone"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # What Thalweg raises is a sentence already.
    last = re.sub(r"^thalweg\.errors\.\w+: ", "", lines[-1]) if lines else "its process is gone"
    return last if len(last) <= MAX_REASON_LENGTH else f"{last[:MAX_REASON_LENGTH]}..."


def word(causes: Collection[str]) -> EndedAs:
    """Returns why a trial ended whose processes were lost, from the cause of each loss.

    A lack of memory decides if it is among several causes, because more memory would have helped.
    """
    if NO_MEMORY in causes:
        return "out_of_memory"
    return "preempted" if set(causes) == {PREEMPTED} else "infrastructure"


def in_words(seconds: float) -> str:
    """Returns a duration for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def traceback_of(evidence: Sequence[Evidence | None]) -> str:
    """Returns the tracebacks that workers wrote when a signal ended them, and deletes the files."""
    files = [Path(one.trace) for one in evidence if one is not None and one.trace]
    texts = [_text(file) for file in files]
    for file in files:
        file.unlink(missing_ok=True)
    return "\n".join(text for text in texts if text)


def _traced(evidence: Evidence | None) -> str:
    text = _text(Path(evidence.trace)) if evidence is not None and evidence.trace else ""
    found = re.search(r"Fatal Python error: (.*)", text)
    if found is None:
        return ""
    number = _FATAL.get(found[1].strip())
    return (
        f"it was ended by {found[1]}"
        if number is None
        else f"it was ended by signal {number:d} ({number.name})"
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _killed_for_memory(before: Sequence[Evidence | None], after: Sequence[Evidence | None]) -> bool:
    counts = {one.node: one.num_oom_kills for one in after if one is not None}
    for one in before:
        then = None if one is None else counts.get(one.node)
        if (
            one is not None
            and one.num_oom_kills is not None
            and then is not None
            and then > one.num_oom_kills
        ):
            return True
    return False
