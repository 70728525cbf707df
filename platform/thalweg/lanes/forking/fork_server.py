"""The fork server: a process that imports what workers of Ray need once, and forks a worker for each request.

A worker imports torch, DeepSpeed, Ray Train and pandas for seconds before it does anything. A fork has them at once, in
memory that all forks share. ``multiprocessing`` has a fork server too, which runs only functions of its own process.

Ray's native library reads the environment when it is loaded, so a fork has that of this process. A request from another
environment is refused, and its process starts as Ray would have started it.
"""

from __future__ import annotations

import gc
import json
import os
import random
import runpy
import selectors
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from thalweg.lanes import private_ray
from thalweg.lanes.forking.fork_client import GRANTED, READY

JOB = "01000000"
"""Ray's name of a cluster's first job; a local Ray has no other."""
_ANY_JOB = "ffffffff"
"""Ray's name in the environment of workers that it starts ahead, which get a job later."""
_PATIENCE_S = 10.0

_PRELOADED = ("ray.tune", "ray.train.torch.config", "thalweg.lanes.trainable", "thalweg.lanes.worker")
_READ_AT_IMPORT = ("CUDA", "DS_", "KMP_", "LD_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "RAY_", "TORCH")
_MAY_DIFFER = frozenset(
    ("RAY_CLIENT_MODE", "RAY_LD_PRELOAD_ON_WORKERS", "RAY_RAYLET_PID", "RAY_USAGE_STATS_ENABLED")
)
"""What drivers, node managers or running workers read; a fork's native library takes the driver for its manager."""
_GRACE_S = 5.0


@dataclass(frozen=True)
class Request:
    """A worker that Ray wants to start.

    Attributes:
        argv: The script of the worker, and its arguments.
        env: Environment of the process that asks.
        cwd: Folder of that process.
        pid: That process.
        group: Its process group, which Ray takes for the worker's.
        blocked: Signals that it blocks.
        streams: Its standard input, output and error, as descriptors of this process.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    pid: int
    group: int
    blocked: list[int]
    streams: list[int]


def serve(address: str) -> None:
    """Forks workers until standard input ends, as it does with the driver; returns in a fork, too, after its worker.

    Args:
        address: Path of the Unix socket to listen at; its folder goes with this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends this process
    begun = dict(os.environ)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        request = _requested(listener, Path(address).parent, begun) if _load() else None
    if request is not None:
        _work(request, begun)


def _load() -> bool:
    """Imports what workers need; returns whether forks of this process can work."""
    with private_ray.without_random_ids():
        for name in _PRELOADED:
            import_module(name)
    import torch

    gc.collect()
    gc.freeze()  # a collection in a fork would write to all objects, and so copy their memory
    # Neither a GPU's context nor a thread survives a fork, and two workers must not give two objects one id.
    if torch.accelerator.is_available() or threading.active_count() > 1:
        return False
    return in_fork(private_ray.random_id) != in_fork(private_ray.random_id)


def in_fork(function: Callable[[], bytes]) -> bytes:
    """Returns what a function returns in a fork of this process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, function())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        returned = stream.read()
    os.waitpid(pid, 0)
    return returned


def _requested(listener: socket.socket, folder: Path, begun: Mapping[str, str]) -> Request | None:
    """Forks for each request; returns the request in the fork, and None here when the driver is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from now on there may be workers to end
    workers: set[int] = set()
    with selectors.PollSelector() as selector:  # what a fork does to one by epoll, it does to this one too
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select(timeout=1.0)]
            workers = {pid for pid in workers if not _has_ended(pid)}
            if sys.stdin in ready:
                _end(workers)
                shutil.rmtree(folder, ignore_errors=True)
                return None
            if listener in ready:
                with (
                    suppress(OSError, ValueError),
                    listener.accept()[0] as connection,
                ):  # whoever asked is gone
                    request = _received(connection)
                    pid = _answer(connection, request, begun)
                    if pid == 0:
                        return request
                    if pid is not None:
                        workers.add(pid)


def _received(connection: socket.socket) -> Request:
    """Receives a request, and leaves out of it what Ray would do before the worker runs.

    Raises:
        OSError: Whoever asked does not wait any more.
        ValueError: The request is not whole.
    """
    connection.settimeout(_PATIENCE_S)
    connection.sendall(READY)
    text, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    try:
        while not text.endswith(b"\n"):
            more = connection.recv(1 << 16)
            if not more:
                raise ValueError("a request must end with its line")
            text += more
        request = Request(**json.loads(text), streams=streams)
        argv, env = private_ray.set_up(request.argv, request.env)
    except BaseException:
        _close(streams)
        raise
    return replace(request, argv=argv, env=env)


def _answer(connection: socket.socket, request: Request, begun: Mapping[str, str]) -> int | None:
    """Forks; returns 0 in the fork, its process id here, and None if the request comes from another environment."""
    pid = None
    try:
        pid = None if differences(request.env, begun) else os.fork()
    finally:
        if pid != 0:
            _close(request.streams)
    if pid:
        with suppress(OSError):  # whoever asked is gone, and Ray with it
            os.setpgid(pid, request.group)  # before the answer, after which the leader of the group ends
            _memory_score(pid).write_text(_memory_score(request.pid).read_text())
            connection.sendall(GRANTED)
    return pid


def _close(streams: list[int]) -> None:
    for stream in streams:
        os.close(stream)


def _memory_score(pid: int) -> Path:
    """Returns the file that tells the kernel how gladly it may end a process when memory runs out; Ray sets it."""
    return Path("/proc", str(pid), "oom_score_adj")


def differences(env: Mapping[str, str], begun: Mapping[str, str]) -> list[str]:
    """Returns the variables that libraries read while they are loaded, and that differ.

    Args:
        env: Environment of a worker that Ray wants to start.
        begun: Environment in which this process has begun; imports may have set more, as they may have in the driver.
    """
    same = {**env, "RAY_JOB_ID": JOB} if env.get("RAY_JOB_ID") == _ANY_JOB else env
    now = {**begun, **os.environ}
    return [
        name
        for name in sorted({*same, *begun} - _MAY_DIFFER)
        if name.startswith(_READ_AT_IMPORT) and same.get(name) not in (begun.get(name), now.get(name))
    ]


def _has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def _end(workers: set[int]) -> None:
    """Kills workers that do not end by themselves, as they do when Ray ends."""
    deadline = time.monotonic() + _GRACE_S
    while workers and time.monotonic() < deadline:
        time.sleep(0.05)
        workers = {pid for pid in workers if not _has_ended(pid)}
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def _work(request: Request, begun: Mapping[str, str]) -> None:
    """Makes this process what Ray would have started, and runs its worker."""
    import numpy as np
    import torch

    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request.cwd)
    imported = {name: value for name, value in os.environ.items() if begun.get(name) != value}
    os.environ.clear()
    os.environ.update(request.env | imported)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)
    np.random.seed()  # else each fork would draw what this process would have drawn
    random.seed()
    torch.seed()
    sys.argv = request.argv
    mine, its = (str(Path(script).parent) for script in (__file__, request.argv[0]))
    sys.path[:] = [its if folder == mine else folder for folder in sys.path]
    runpy.run_path(request.argv[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
