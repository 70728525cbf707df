"""Starts a command once for each of several workers on this machine, as ``torchrun`` does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from thalweg.errors import ResourceError
from thalweg.search.reproduction.circumstances import WORKERS
from thalweg.search.reproduction.original import Original

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
RANK = "RANK"
"""Variable that each worker of a group has."""


def workers_of(original: Original) -> int:
    """Returns how many workers trained a trial; the first number if it went on with another one."""
    known = [int(one[WORKERS]) for one in original.trained if WORKERS in one]
    return known[0] if known else original.num_workers


def is_worker() -> bool:
    """Returns whether this process is one of a group that a launcher started."""
    return RANK in os.environ


def launch(num_workers: int, words: Sequence[str]) -> int:
    """Runs ``thalweg WORDS`` in as many processes as workers, which form a group; returns the exit code.

    Args:
        num_workers: Number of processes.
        words: Command and options.

    Raises:
        ResourceError: A worker was ended from outside.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # it logs that a command says no
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_workers,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        with _alike():
            elastic_launch(config, sys.executable)("-P", "-m", "thalweg", *words)
    except SignalException as stopped:  # Ctrl-C, which has ended the workers
        return 128 + int(stopped.sigval)
    except ChildFailedError as error:
        every = [failure.exitcode for failure in error.failures.values()]
        # The launcher ends the others, some of which say so by their exit code.
        codes = [code for code in every if code not in (-signal.SIGTERM, 128 + signal.SIGTERM)] or every
        if max(codes) < 0:
            raise ResourceError(
                f"all {num_workers} workers must live to the end, got an end by signal {-min(codes)}; give the same "
                "command again"
            ) from None
        return max(codes)
    return 0


@contextmanager
def _alike() -> Iterator[None]:
    """Lets processes that start meanwhile import the same code with as many threads as this one, as torchrun does."""
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    there = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    here = [path for path in sys.path if path and Path(path).is_dir()]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*filter(None, there), *here]))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        for number, handler in handlers.items():  # torch's launcher leaves its own
            signal.signal(number, handler)
