"""The fork server of this process: begun as early as possible, used by the Ray that it starts, and ended with it."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from thalweg.lanes.forking import fork_client, fork_server

_DRIVERS_OF_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel", "/dev/davinci_manager")
_END_S = 10.0


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    folder: Path


_begun: list[_Server] = []


def begin() -> None:
    """Starts a fork server for the Ray that this process will start, unless workers of this machine cannot be forked.

    It reads the environment as it is now, and takes seconds until it can fork; workers wait for it.
    """
    if _begun or not _can_fork():
        return
    folder = Path(tempfile.mkdtemp(prefix="twf", dir=short_temp()))
    process = subprocess.Popen(
        [sys.executable, fork_server.__file__, str(folder / "socket")],  # a script, as Ray's workers are
        stdin=subprocess.PIPE,  # its end tells the server that this process is gone
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        process_group=0,  # beyond the reach of signals to this group
    )
    _begun.append(_Server(process, folder))
    atexit.register(end_unused)


@contextmanager
def serving() -> Iterator[Path | None]:
    """Runs a fork server while Ray does: the one that has begun, or a new one.

    Yields:
        What Ray is to execute for a worker in place of Python; None to start workers as Ray does.
    """
    begin()
    if not _begun:
        yield None
        return
    server = _begun.pop()
    try:
        yield _executable(server.folder)
    finally:
        _end(server)


def end_unused() -> None:
    """Ends a fork server that has begun, and that no Ray uses."""
    while _begun:
        _end(_begun.pop())


def _end(server: _Server) -> None:
    """Ends a fork server, and workers that have outlived their Ray."""
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.terminate()  # which is heard only by one that has forked nothing yet
    try:
        server.process.wait(_END_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)


def _executable(folder: Path) -> Path | None:
    """Writes what asks the server for a worker; returns None if nothing may be executed where it lies."""
    command = [sys.executable, "-I", "-S", fork_client.__file__, str(folder / "socket")]
    file = folder / "python"
    # Ray takes a second word away, so all of them are one.
    file.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    file.chmod(0o700)
    return file if os.access(file, os.X_OK) else None


def short_temp() -> str:
    """Returns a folder with a path short enough for sockets, whose paths may have 107 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 40 else "/tmp"


def _can_fork() -> bool:
    return sys.platform == "linux" and not any(map(os.path.exists, _DRIVERS_OF_GPUS))


def _environment() -> dict[str, str]:
    """Returns what Ray's native library will read in a worker of a local Ray that this process starts."""
    ray = {
        "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token"),
        "RAY_JOB_ID": fork_server.JOB,
        "RAY_RAYLET_PID": str(os.getpid()),
    }
    return {**os.environ, **ray}
