"""Turns terminating signals into exceptions like Ctrl-C's, so that a study is recorded as interrupted and cleaned up.

Slurm, Kubernetes and systemd send SIGTERM and wait for half a minute; a terminal that is closed sends SIGHUP. By
default both end Python at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_RANK = "RANK"
_come: list[int] = []  # signals that were raised within the outermost `ending_raises`


class Ended(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """Returns the signal that an interruption came from; SIGINT for Python's own, unless another one came before.

    While Ray waits for its workers it catches what a handler raises, and raises Python's own in its place.
    """
    if isinstance(error, Ended):
        return signal.Signals(error.number)
    return signal.Signals(_come[0]) if _come else signal.SIGINT


def is_worker() -> bool:
    """Returns whether a launcher started this process as one of a group, and says for all of them how they ended."""
    return _RANK in os.environ


@contextmanager
def ending_raises() -> Iterator[None]:
    """Raises `Ended` in the main thread at the first SIGTERM or SIGHUP; later ones are ignored.

    A signal that was ignored before, as under `nohup`, stays ignored.

    Raises:
        Ended: Such a signal came, also if a library raised Python's own exception in its place.
    """
    is_main = threading.current_thread() is threading.main_thread()
    with handlers_kept():
        is_outermost = is_main and not {signal.getsignal(number) for number in _ENDING} & {_end, _already}
        for number in _ENDING if is_main else ():
            if signal.getsignal(number) not in (signal.SIG_IGN, _already):
                signal.signal(number, _end)
        try:
            yield
        except KeyboardInterrupt as error:
            if signal_of(error) == signal.SIGINT or isinstance(error, Ended):
                raise
            raise Ended(signal_of(error)) from error
        finally:
            if is_outermost:
                _come.clear()


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Makes Ctrl-C, SIGTERM and SIGHUP end this process at once, without an exception.

    For blocks that only import: there is nothing to clean up, and an exception would end in a traceback before the
    command line takes it, or in a library that catches all. Signals that are ignored stay ignored.
    """
    with _handled_by(_exit):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Hands the signals that end a process to a function; it does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    mended = {number: earlier for number, earlier in before.items() if earlier not in (signal.SIG_IGN, None)}
    for number in mended:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in mended.items():
            signal.signal(number, earlier)


@contextmanager
def ending_waits(called_off: threading.Event) -> Iterator[None]:
    """Holds back Ctrl-C, SIGTERM and SIGHUP until a block ends; a second one ends this process at once.

    For blocks that import libraries beside other work: an exception in the middle of an import may leave the lock of
    all imports taken, and libraries catch it. Signals that are ignored stay ignored.

    Args:
        called_off: Set by the first signal, so that the block ends early.

    Raises:
        KeyboardInterrupt: Or what the handlers raise that were set before, at the end of the block.
    """
    come: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if come:
            _exit(number, frame)
        come.append(number)
        called_off.set()
        os.write(2, b"stopping; once more stops at once\n")

    try:
        with _handled_by(hold):
            yield
    finally:
        if come:
            signal.raise_signal(come[0])


def _exit(number: int, frame: FrameType | None) -> None:
    if not is_worker():
        os.write(2, b"stopped\n")
    os._exit(128 + number)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restores, on exit, the handlers of the signals that end a process, if others have changed them.

    It does nothing outside the main thread, which receives all signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            has_come = handler is _end and signal.getsignal(number) is _already
            if not has_come and handler is not None:  # None: not set by Python
                signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    for other in _ENDING:
        if signal.getsignal(other) is _end:
            signal.signal(other, _already)
    _come.append(number)
    raise Ended(number)


def _already(number: int, frame: FrameType | None) -> None:
    """Does nothing: the process is ending."""
