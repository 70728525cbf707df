"""Starts a command once for each of several workers on this machine, as ``torchrun`` does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from thalweg.errors import ResourceError
from thalweg.lanes.interruption import Ended
from thalweg.search.reproduction.circumstances import WORKERS
from thalweg.search.reproduction.original import Original

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 10  # to clean up in, before a worker is killed


def workers_of(original: Original) -> int:
    """Returns how many workers trained a trial; the first number if it went on with another one."""
    known = [int(one[WORKERS]) for one in original.trained if WORKERS in one]
    return known[0] if known else original.num_workers


def launch(num_workers: int, words: Sequence[str]) -> int:
    """Runs ``thalweg WORDS`` in as many processes as workers, which form a group; returns the exit code.

    Ctrl-C and other signals that end this process end the workers first, which clean up; those that do not within
    seconds are killed.

    Args:
        num_workers: Number of processes.
        words: Command and options.

    Raises:
        ResourceError: A worker was ended from outside.
        KeyboardInterrupt: A signal ended this process; `Ended` for another one than that of Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _quiet()
    came: list[int] = []
    try:
        with _alike(), _raising_once(came), tempfile.TemporaryDirectory(prefix="thalweg-workers-") as logs:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=num_workers,
                run_id=uuid.uuid4().hex,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                max_restarts=0,
                logs_specs=DefaultLogsSpecs(log_dir=logs),
                signals_to_handle="SIGQUIT",  # the others are handled here
                shutdown_timeout=_PATIENCE_S,
            )
            elastic_launch(config, sys.executable)("-P", "-m", "thalweg", *words)
    except SignalException as error:
        number = came[0] if came else int(error.sigval)
        raise (KeyboardInterrupt if number == signal.SIGINT else Ended(number)) from None
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


def _quiet() -> None:
    """Silences torch's launcher, which logs that a command says no or was stopped; its loggers have own levels."""
    for name in list(logging.root.manager.loggerDict):
        if f"{name}.".startswith("torch.distributed."):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _alike() -> Iterator[None]:
    """Lets processes that start meanwhile import the same code with as many threads as this one, as torchrun does."""
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGQUIT)}
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


@contextmanager
def _raising_once(came: list[int]) -> Iterator[None]:
    """Raises torch's exception at the first signal that ends this process, and notes those that come.

    Later ones are ignored, else a second Ctrl-C would leave workers behind. All are passed on as SIGTERM, after which a
    worker cleans up undisturbed. Signals that are ignored, as under `nohup`, stay so.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            raise SignalException(f"got signal {number}", sigval=signal.SIGTERM)

    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)
    yield
