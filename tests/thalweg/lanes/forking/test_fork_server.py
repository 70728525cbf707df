"""The fork server: what it refuses, and that its forks are as good as processes of their own."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import until

from thalweg.lanes.forking import fork_client, fork_server, forked_workers

WORKER = """
import json, os, random, signal, sys
import numpy as np, torch, ray
from thalweg.lanes import private_ray
print(json.dumps({
    "drawn": [random.random(), float(np.random.rand()), float(torch.rand(())), private_ray.random_id().hex()],
    "argv": sys.argv[1:], "cwd": os.getcwd(), "path": sys.path, "mine": os.environ["MINE"],
    "group": os.getpgid(0), "parent": os.getppid(),
    "handlers": [signal.getsignal(each) == signal.SIG_DFL for each in (signal.SIGTERM, signal.SIGCHLD)],
    "child": __import__("subprocess").run(["false"]).returncode,
    "score": open("/proc/self/oom_score_adj").read().strip(),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
}), flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yields the address of a fork server that ends with its standard input."""
    folder = Path(tmp_path_factory.mktemp("fork", numbered=True))
    address = folder / "socket"
    process = subprocess.Popen(
        [sys.executable, fork_server.__file__, str(address)],
        stdin=subprocess.PIPE,
        env=forked_workers._environment(),
    )
    until(address.exists, 60)
    yield address
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)
    assert not folder.exists()


def _ask(address: Path, script: Path, *words: str, **variables: str) -> dict[str, Any]:
    """Asks as Ray does, in a process that leads a group; returns what the worker prints."""
    ray = {"RAY_JOB_ID": fork_server.JOB, "RAY_RAYLET_PID": "1", "MINE": "own"}
    command = [sys.executable, "-I", "-S", fork_client.__file__, str(address), str(script), *words]
    done = subprocess.run(
        ["sh", "-c", f"echo 700 > /proc/self/oom_score_adj; exec {shlex.join(command)}"],
        env={**forked_workers._environment(), **ray, **variables},
        cwd=script.parent,
        process_group=0,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "worker.py").write_text(WORKER)
    return tmp_path / "worker.py"


@pytest.mark.slow
def test_a_fork_is_what_ray_would_have_started_and_draws_its_own_numbers(server: Path, script: Path) -> None:
    one, other = _ask(server, script, "a", "--b=c d"), _ask(server, script)
    assert one["argv"] == ["a", "--b=c d"]
    assert one["cwd"] == str(script.parent)
    assert str(script.parent) in one["path"] and str(Path(fork_server.__file__).parent) not in one["path"]
    assert one["mine"] == "own"
    assert one["handlers"] == [True, True]
    assert (one["score"], one["blocked"]) == ("700", [signal.SIGINT])
    assert one["child"] == 1  # the exit code of a child can be waited for
    assert one["parent"] == other["parent"]
    assert one["group"] != other["group"]
    assert not set(one["drawn"]) & set(other["drawn"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "RAY_worker_niceness", "DS_ACCELERATOR", "LD_PRELOAD"])
def test_another_environment_starts_a_process_of_its_own(server: Path, script: Path, name: str) -> None:
    forked = _ask(server, script)["parent"]
    value = "" if name == "LD_PRELOAD" else "3" if name != "DS_ACCELERATOR" else "cuda"
    assert _ask(server, script, **{name: value})["parent"] not in (forked, None)


@pytest.mark.slow
def test_without_a_server_a_process_of_its_own_starts(script: Path) -> None:
    assert _ask(script.parent / "nobody", script)["parent"] == os.getpid()


def test_a_server_that_does_not_get_ready_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_client, "_PATIENCE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen()
        assert not fork_client.ask(str(tmp_path / "s"), ["worker.py"])


@pytest.mark.slow
@pytest.mark.parametrize("said", [b"", b'{"argv": ["worker.py"'])
def test_whoever_asks_and_goes_gets_no_worker(server: Path, script: Path, said: bytes) -> None:
    process = psutil.Process(_ask(server, script)["parent"])
    num_open = process.num_fds()
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(server))
            assert connection.recv(1) == fork_client.READY
            if said:
                socket.send_fds(connection, [said], [0, 1, 2])
    assert _ask(server, script)["parent"] == process.pid  # and the next one gets one
    assert process.num_fds() == num_open  # what was sent is closed


def test_variables_that_a_running_worker_reads_may_differ_and_those_of_libraries_may_not() -> None:
    begun = {"RAY_JOB_ID": fork_server.JOB, "HOME": "/a", "RAY_RAYLET_PID": "1", "OMP_NUM_THREADS": "1"}
    assert fork_server.differences({**begun, "HOME": "/b", "RAY_RAYLET_PID": "2"}, begun) == []
    assert fork_server.differences({**begun, "RAY_JOB_ID": "ffffffff"}, begun) == []
    assert fork_server.differences({**begun, "RAY_JOB_ID": "02000000"}, begun) == ["RAY_JOB_ID"]
    without = {name: value for name, value in begun.items() if name != "RAY_JOB_ID"}
    assert fork_server.differences(without, begun) == ["RAY_JOB_ID"]  # as Ray's workers that spill objects
    assert fork_server.differences({**begun, "RAY_x": "1", "TORCH_y": "1"}, begun) == ["RAY_x", "TORCH_y"]


def test_what_imports_set_in_the_server_may_be_set_by_the_driver_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_LOG_LEVEL", "error")
    assert fork_server.differences({"DS_LOG_LEVEL": "error"}, {}) == []
    assert fork_server.differences({"DS_LOG_LEVEL": "debug"}, {}) == ["DS_LOG_LEVEL"]


def test_workers_that_outlive_the_driver_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_GRACE_S", 0.1)
    stubborn = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    fork_server._end({stubborn.pid})
    assert stubborn.wait(30) == -signal.SIGKILL
