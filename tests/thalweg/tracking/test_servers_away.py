"""Delivery to a server that is away for a while, or altogether."""

import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

from thalweg.events import StudyEnded
from thalweg.tracking.environment import QUIET, environment
from thalweg.tracking.recorder import MLflowRecorder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Line(socketserver.ThreadingTCPServer):
    """A port whose connections are passed on to another one, until it is cut.

    Args:
        port: The port.
        behind: The other one.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int, behind: int) -> None:
        self.behind = behind
        self.ends: list[socket.socket] = []
        super().__init__(("127.0.0.1", port), Passing)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def cut(self) -> None:
        """Refuses new connections and ends those that there are."""
        self.shutdown()
        self.server_close()
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Passing(socketserver.BaseRequestHandler):
    """Passes on one connection."""

    server: Line

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.behind)) as far:
            self.server.ends += [self.request, far]
            back = threading.Thread(target=pass_on, args=(far, self.request), daemon=True)
            back.start()
            pass_on(self.request, far)
            back.join()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A real MLflow server on loopback, which takes seconds to start, behind a line that can be cut and mended."""

    def __init__(self, folder: Path) -> None:
        self.port, self.behind = free_port(), free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.behind), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
        command += ["--artifacts-destination", f"{folder}/artifacts"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, env=environment(QUIET), stdout=quiet, stderr=quiet, start_new_session=True
        )
        self.line: Line | None = None

    def mend(self) -> None:
        self.line = self.line or Line(self.port, self.behind)

    def cut(self) -> None:
        if self.line is not None:
            self.line.cut()
        self.line = None

    def answers(self) -> bool:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.behind}/health", timeout=2.0).close()
            return True
        return False

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(whole, folder / "server.db")
    server = Server(folder)
    try:
        until(server.answers)
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    running.mend()
    yield running
    running.cut()


def on_server(server: Server, study: str) -> dict[str, "Run"]:
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    found = list(client.search_runs([experiment.experiment_id]))
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_a_server_that_is_away_for_a_while_gets_everything_in_order(
    server: Server, make: Any, study: str, client: "MlflowClient"
) -> None:
    said: list[str] = []
    recorder = MLflowRecorder(server.uri, tell=said.append)
    for event in [make.started(), make.trial(0), make.progress(0, 256, 0.1)]:
        recorder.handle(event)
    until(lambda: recorder.num_undelivered == 0)
    server.cut()
    for event in [make.progress(0, 512, 0.2), make.ended(0, 0.2), *make.whole(1, 0.3)]:
        recorder.handle(event)
    until(lambda: said)
    assert "does not answer" in said[0]
    server.mend()
    until(lambda: len(said) == 2)
    recorder.handle(StudyEnded(end="finished"))
    recorder.close(timeout=300.0)
    runs = on_server(server, study)
    assert recorder.num_undelivered == 0
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["trial 000"].data.metrics["objective"] == 0.2
    assert runs["trial 000"].data.metrics["time/train_s"] == 4.0
    assert runs[f"study {study}"].data.metrics["trials/complete"] == 2


def test_what_a_server_misses_is_delivered_when_the_study_is_continued(
    server: Server, make: Any, study: str, client: "MlflowClient"
) -> None:
    said: list[str] = []
    recorder = MLflowRecorder(server.uri, tell=said.append)
    for event in [make.started(), make.trial(0)]:
        recorder.handle(event)
    until(lambda: recorder.num_undelivered == 0)
    server.cut()
    told = [make.progress(0, 512, 0.2), make.ended(0, 0.2), StudyEnded(end="interrupted")]
    for event in told:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    assert recorder.num_undelivered == len(told)
    assert f"has not received {len(told)} events" in said[-1]
    server.mend()
    recorder = MLflowRecorder(server.uri)
    for event in (make.started(finished_trials=1), *make.whole(1, 0.3), StudyEnded(end="finished")):
        recorder.handle(event)
    recorder.close(timeout=300.0)
    runs = on_server(server, study)
    assert set(runs) == {f"study {study}", "trial 000", "trial 001"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["trial 000"].data.metrics["objective"] == 0.2
