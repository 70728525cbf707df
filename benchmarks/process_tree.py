"""Memory and processor time of a process and all that it has started."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil


def tree(process: psutil.Process) -> Iterator[psutil.Process]:
    """Yields a process and its descendants."""
    yield process
    with suppress(psutil.NoSuchProcess):
        yield from process.children(recursive=True)


def cpu_s(process: psutil.Process) -> float:
    """Returns the processor seconds of a tree so far, with those of descendants that have ended and were waited for."""
    total = 0.0
    for member in tree(process):
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mib(process: psutil.Process) -> tuple[float, float]:
    """Returns PSS and USS of a tree in MiB: shared pages once, and pages of one process alone."""
    pss = uss = 0
    for member in tree(process):
        with suppress(psutil.NoSuchProcess):
            info = member.memory_full_info()
            pss, uss = pss + info.pss, uss + info.uss
    return pss / 2**20, uss / 2**20


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a tree: its root by SIGTERM, what is left after a while by SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        members = list(tree(psutil.Process(process.pid)))
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and any(map(_lives, members)):
            process.poll()
            time.sleep(0.2)
        for member in filter(_lives, members):
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Watch:
    """Follows a process and all that it starts, also what outlives its parent.

    Args:
        process: The process; it has just been started.

    Attributes:
        peak_mib: Largest PSS of all at one time so far.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._members = {process.pid: process}
        self._cpu: dict[tuple[int, float], float] = {}
        self.peak_mib = 0.0

    def look(self) -> None:
        """Finds new processes, and notes the processor time of all."""
        others = {each: each.info["ppid"] for each in psutil.process_iter(["ppid"])}
        while new := {each.pid: each for each, parent in others.items() if self._is_new(each.pid, parent)}:
            self._members |= new
        for pid, member in list(self._members.items()):
            try:
                times = member.cpu_times()
                self._cpu[pid, member.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                del self._members[pid]

    def _is_new(self, pid: int, parent: int) -> bool:
        return pid not in self._members and parent in self._members

    def weigh(self) -> None:
        """Reads the memory of all."""
        total = 0
        for member in list(self._members.values()):
            with suppress(psutil.NoSuchProcess):
                total += member.memory_full_info().pss
        self.peak_mib = max(self.peak_mib, total / 2**20)

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all, those that have ended included, each as far as it was seen."""
        return sum(self._cpu.values())

    @property
    def num_processes(self) -> int:
        """Number of processes that have been seen."""
        return len(self._cpu)

    def end_rest(self) -> None:
        """Ends what is left of them."""
        self.look()
        for member in filter(_lives, self._members.values()):
            with suppress(psutil.NoSuchProcess):
                member.kill()
