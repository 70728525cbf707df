"""MLflow's web interface on this machine, without its log messages, and on loopback by default."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, Any

from thalweg.errors import ConnectionFailed, ResourceError
from thalweg.tracking import pages
from thalweg.tracking.additions import EXPERIMENT
from thalweg.tracking.address import (
    DEFAULT_TRACKING_URI,
    SQLITE,
    artifact_folder,
    check_tracking,
    resolve_uri,
)
from thalweg.tracking.environment import QUIET, environment
from thalweg.tracking.new_database import is_used

DEFAULT_PORT = 5000
SECONDS_TO_START = 180.0
MAX_STUDIES = 8
IN_LISTS = (
    "In MLflow's own list of experiments, click Model training at the top left first, once in each browser."
)


def serve_ui(
    tracking_uri: str = DEFAULT_TRACKING_URI,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    tell: Callable[[str], None] = print,
) -> None:
    """Serves the web interface until Ctrl-C. A tracking server has its own, of which only the address is printed.

    Args:
        tracking_uri: MLflow's address.
        host: Address to listen on; any but loopback exposes the records to the network.
        port: Port to listen on.
        tell: Called with sentences for people.

    Raises:
        ConnectionFailed: The tracking address cannot be used, or the interface does not start.
        OutputError: The SQLite file cannot be written.
        ResourceError: The port is taken.
    """
    uri = resolve_uri(tracking_uri)
    check_tracking(uri)
    if uri.startswith(("http://", "https://")):
        tell(f"MLflow's interface is at {uri}")
        return
    check_port(host, port)
    _make_database(uri)
    address = f"http://{host}:{port}"
    with tempfile.TemporaryFile() as log, _server(_command(uri, host, port), log) as process:
        try:
            _await_answer(process, address)
            tell(f"MLflow's interface is at {address}/#/experiments?{pages.TRAINING} (Ctrl-C stops it)")
            for name, link in _experiments(address):
                tell(f"  {name}: {address}/{link}")
            tell(IN_LISTS)
            process.wait()
        except KeyboardInterrupt:
            tell("stopped")
            return
        log.seek(0)
        raise ConnectionFailed(_ended(log.read()))


def _make_database(uri: str) -> None:
    """Makes a new SQLite database in a process that Ctrl-C does not end; the server itself would be killed."""
    if not uri.startswith(SQLITE) or is_used(uri):
        return
    command = [sys.executable, "-P", "-m", "thalweg.tracking.new_database", uri]
    with tempfile.TemporaryFile() as log:
        # not subprocess.run, which kills what it started when Ctrl-C arrives
        quiet, env = subprocess.DEVNULL, environment(QUIET)
        process = subprocess.Popen(
            command, stdin=quiet, stdout=log, stderr=log, env=env, start_new_session=True
        )
        if process.wait():
            log.seek(0)
            raise ConnectionFailed(
                f"a tracking database must be made, got {_last_line(log.read())}; choose another --tracking-uri"
            )


@contextmanager
def _server(command: list[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server; on exit stops it and the processes that it started."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment(QUIET),
        start_new_session=True,
    )
    # A shell that starts this in the background has Ctrl-C ignored; a terminal that closes sends SIGHUP.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield process
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        _stop(process)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _experiments(address: str) -> list[tuple[str, str]]:
    """Returns the studies changed last, and data sets looked at, with addresses relative to the interface's.

    MLflow's own list leads to pages for language models until a person has switched to those for training; the
    kind of an experiment changes nothing in that.
    """
    latest = _search(address, max_results=str(MAX_STUDIES), order_by="last_update_time DESC")
    studies = [
        (experiment["name"], pages.link(experiment["experiment_id"], pages.TABLE))
        for experiment in latest
        if any(tag["key"].endswith(pages.TABLE) for tag in experiment.get("tags", []))
    ]
    looks = _search(address, max_results="1", filter=f"name = '{EXPERIMENT}'")
    return studies + [(found["name"], pages.link(found["experiment_id"], None)) for found in looks]


def _search(address: str, **query: str) -> list[dict[str, Any]]:
    request = f"{address}/api/2.0/mlflow/experiments/search?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        found: list[dict[str, Any]] = json.load(answer).get("experiments", [])
    return found


def check_port(host: str, port: int) -> None:
    """Checks that a port is free.

    Raises:
        ResourceError: It is taken; the message names a free one.
    """
    if _free(host, port):
        return
    for other in range(port + 1, min(port + 100, 65536)):
        if _free(host, other):
            raise ResourceError(f"the port must be free, got {port}, which is taken; try --port {other}")
    raise ResourceError(f"the port must be free, got {port}, which is taken, and so are those after it")


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _command(uri: str, host: str, port: int) -> list[str]:
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    folder = artifact_folder(uri)
    return command if folder is None else [*command, "--artifacts-destination", folder.as_uri()]


def _await_answer(process: subprocess.Popen[bytes], address: str) -> None:
    """Waits until the server answers or has ended."""
    deadline = time.monotonic() + SECONDS_TO_START
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1.0).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"MLflow's interface must answer within {SECONDS_TO_START:.0f} s, got none at {address}; "
                    "end what else keeps this machine busy, and run it again"
                ) from None
            time.sleep(0.2)


def _ended(log: bytes) -> str:
    return f"MLflow's interface must keep running, got an end: {_last_line(log)}; run it again"


def _last_line(log: bytes) -> str:
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing said"


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
            return
