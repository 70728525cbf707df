import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.thalweg.tracking.conftest import Teller
from thalweg.dataset_contract import Exploration
from thalweg.errors import ConnectionFailed, ResourceError
from thalweg.events import StudyEnded
from thalweg.tracking.additions import EXPERIMENT, record_look
from thalweg.tracking.recorder import MLflowRecorder
from thalweg.tracking.ui import IN_LISTS, check_port, serve_ui


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_free_port_is_accepted() -> None:
    check_port("127.0.0.1", free_port())


def test_a_taken_port_is_refused_and_a_free_one_is_named() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"got {port}, which is taken") as caught:
            check_port("127.0.0.1", port)
    named = re.search(r"--port (\d+)", str(caught.value))
    assert named
    check_port("127.0.0.1", int(named[1]))


def test_an_address_that_cannot_be_used_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConnectionFailed, match="must begin with one of"):
        serve_ui("htp://nowhere", port=free_port())


SERVE = "import sys; from thalweg.tracking.ui import serve_ui; serve_ui(sys.argv[1], port=int(sys.argv[2]))"


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.usefixtures("client")
def test_the_interface_shows_studies_and_their_artifacts_until_ctrl_c(
    uri: str, make: Any, study: str, tmp_path: Path
) -> None:
    recorder, port = MLflowRecorder(uri), free_port()
    for event in [make.started(), *make.whole(0, 0.5), StudyEnded(end="finished")]:
        recorder.handle(event)
    recorder.close()
    (tmp_path / "look").mkdir()
    look = Exploration(fingerprint="0123abcd", report="", statistics={}, page="")
    record_look(uri, "water_mae/tiny", tmp_path / "look", look)
    command = [sys.executable, "-u", "-c", SERVE, uri, str(port)]
    with served(command, signal.SIGINT, port, tmp_path, until=IN_LISTS) as (first, *others, _):
        assert f"http://127.0.0.1:{port}" in first
        assert study in others[0]
        assert others[-1].startswith(f"  {EXPERIMENT}: ")
        assert all("workflowType=machine_learning" in line for line in others)
        run_id = find_run(port, "trial 000", study)
        config = fetch(port, f"get-artifact?path=config.json&run_uuid={run_id}")
        assert '"lr": 0.00012345678' in config


@contextmanager
def served(
    command: list[str], stop: signal.Signals, port: int, folder: Path, until: str
) -> Iterator[list[str]]:
    """Yields the lines of an interface until one says something, then stops it; nothing of it is left."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or (lines[-1] and until not in lines[-1]):
            lines.append(process.stdout.readline().decode())
        yield lines
    finally:
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert out.decode().endswith("stopped\n")
    check_port("127.0.0.1", port)
    assert list(folder.glob("ml*")) == []


_INSTEAD = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from thalweg.tracking import ui

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

if sys.argv[1] == "--port":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Answer).serve_forever()
ui._command = lambda uri, host, port: [sys.executable, __file__, "--port", str(port)]
ui.serve_ui(sys.argv[1], port=int(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_ends_a_process_stops_the_server_too(
    uri: str, teller: Teller, make: Any, stop: signal.Signals, tmp_path: Path
) -> None:
    teller.tell(make.started())  # a database that holds something is not made anew
    (tmp_path / "instead.py").write_text(_INSTEAD)
    port = free_port()
    command = [sys.executable, "-u", "instead.py", uri, str(port)]
    with served(command, stop, port, tmp_path, until=IN_LISTS) as (first, _):
        assert f"http://127.0.0.1:{port}" in first
        assert fetch(port, "health") == "{}"


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20.0) as answer:
        text: str = answer.read().decode()
        return text


def find_run(port: int, name: str, study: str) -> str:
    import json

    base = f"http://127.0.0.1:{port}/api/2.0/mlflow"
    quoted = urllib.request.quote(study)  # type: ignore[attr-defined]
    with urllib.request.urlopen(f"{base}/experiments/get-by-name?experiment_name={quoted}") as answer:
        experiment = json.load(answer)["experiment"]["experiment_id"]
    body = json.dumps({"experiment_ids": [experiment]}).encode()
    request = urllib.request.Request(f"{base}/runs/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        runs = json.load(answer)["runs"]
    found: str = next(run["info"]["run_id"] for run in runs if run["info"]["run_name"] == name)
    return found
