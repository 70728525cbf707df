"""What a piece of work costs a process: time of the processor and by the clock, and memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """What some work took.

    Attributes:
        cpu_s: Seconds of the processor.
        wall_s: Seconds by the clock.
        peak_mib: Peak memory of the process above its level after the imports.
        imports_mib: This level.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float = 0.0
    imports_mib: float = 0.0


def fastest(run: Callable[[], object], repeats: int) -> Cost:
    """Times calls after a first one, and returns the fastest."""
    run()
    costs = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        costs.append(Cost(time.process_time() - cpu, time.perf_counter() - wall))
    return min(costs, key=lambda cost: cost.cpu_s)


def memory(name: str) -> float:
    """Returns what the system says of this process's memory, in MiB.

    Args:
        name: ``VmRSS``, what is resident now, or ``VmHWM``, the most that ever was.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
