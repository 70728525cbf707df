"""Ray starts on this machine while a thread imports what a search needs, prepares the study and checks its space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from threading import Event
from typing import TypeVar

from thalweg.lanes.cluster import connect
from thalweg.search.starting.run_options import Options, check_writable
from thalweg.study_folder import StudyFolder

T = TypeVar("T")


class CalledOff(Exception):
    """Work beside a block that has ended early: nobody waits for what it would return."""


def go_on(called_off: Event) -> None:
    """Ends work that is called off.

    Raises:
        CalledOff: It is.
    """
    if called_off.is_set():
        raise CalledOff


@contextmanager
def meanwhile(work: Callable[[], T], called_off: Event) -> Iterator[Callable[[], T]]:
    """Works in a thread beside a block; one that ends early calls the work off, and waits for its last step.

    Args:
        work: The work.
        called_off: Ends the work early if it is set.

    Yields:
        A function that waits for the work, and returns or raises what it does.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as thread:
        found = thread.submit(work)
        try:
            yield found.result
        finally:
            called_off.set()


def connect_early(options: Options, tell: Callable[[str], None]) -> ExitStack:
    """Starts Ray on this machine, and imports what starts lanes, before a study's folder is made.

    A cluster at an address is left alone until a study needs it. Ray is started by the thread that calls this, which
    must live as long as Ray: the kernel ends Ray's processes with it.

    Args:
        options: Where and how the study runs.
        tell: Called with a sentence for people before a step that may take a while.

    Returns:
        The connection for a search; it is closed there, or by the caller if it comes to nothing.

    Raises:
        ConnectionFailed: Ray does not start.
        OutputError: The study's folder could not be made.
    """
    with ExitStack() as connection:
        if options.address is None:
            check_writable(options.directory)
            connection.enter_context(connect(None, StudyFolder(options.directory).ray_log, tell=tell))
            import_module("thalweg.search.tune_adapters")  # Ray reads its environment when it is imported
        return connection.pop_all()
