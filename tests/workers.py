"""Groups of workers for tests, each a process of its own.

Only the first group of a test session imports torch and DeepSpeed, for seconds: a server does it that every worker
is then forked from. What the workers call is imported by name, without pytest's checks of calls.
"""

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

TIMEOUT_S = 400.0
"""How long workers may take: less than pytest gives a test, so that they end with it."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["thalweg.training.session", "torch._dynamo", "families.toy.task"])


def on_workers(count: int, function: Callable[..., Result], *arguments: Any) -> list[Result]:
    """Calls a function in new processes that find each other when they `join` a process group.

    Args:
        count: Number of workers.
        function: A function of a module.
        arguments: Its arguments, the same on all workers.

    Returns:
        What each worker returns, by rank.

    Raises:
        multiprocessing.TimeoutError: A worker waits for ever, or was killed.
        Exception: What the function raised on a worker.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    tasks = [
        (shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, function, arguments) for rank in range(count)
    ]
    # A process takes no second task before the first one is done, which waits for all others.
    with _SERVER.Pool(count) as pool:
        return pool.starmap_async(_as_worker, tasks, chunksize=1).get(TIMEOUT_S)


def _as_worker(
    environment: dict[str, str], function: Callable[..., Result], arguments: tuple[Any, ...]
) -> Result:
    os.environ.update(environment)
    return function(*arguments)
