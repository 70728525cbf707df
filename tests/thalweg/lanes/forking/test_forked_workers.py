"""The fork server of a process: where there is one, and that it leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from thalweg.lanes.forking import forked_workers

_USES = """
import json, os, sys
from pathlib import Path
import psutil
from thalweg.lanes import cluster
from thalweg.lanes.forking import forked_workers

def parent(self=None):
    return os.getppid()

cluster.warm_up()
server, folder = forked_workers._begun[0].process.pid, forked_workers._begun[0].folder
if sys.argv[1] == "changed":
    os.environ["OMP_NUM_THREADS"] = "3"  # after the server has read it
with cluster.connect(None, Path("ray.log"), num_cpus=1):
    import ray
    parents = ray.get([ray.remote(num_cpus=0)(parent).remote(), ray.remote(num_cpus=1)(parent).remote()])
    assert folder.exists()
    words = [word for process in psutil.Process().children() for word in process.cmdline()]
print(json.dumps([server, str(folder), parents, forked_workers._begun, words]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("env", ["same", "changed"])
def test_a_local_ray_forks_its_workers_unless_libraries_would_read_something_else(
    env: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _USES, env], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    server, folder, parents, begun, words = json.loads(done.stdout)
    assert any(
        word.endswith("dashboard.py") for word in words
    )  # Ray starts it whether pages are asked for or not
    assert "--minimal" in words
    assert not any(word.endswith("monitor.py") and "log_monitor" not in word for word in words)
    assert (set(parents) == {server}) == (env == "same")
    assert begun == []
    assert not psutil.pid_exists(server)
    assert not Path(folder).exists()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[forked_workers._Server]:
    """Returns the servers that begin and that no Ray uses yet."""
    servers = list[forked_workers._Server]()
    monkeypatch.setattr(forked_workers, "_begun", servers)
    return servers


def test_a_server_that_is_still_importing_ends_at_once(begun: list[forked_workers._Server]) -> None:
    forked_workers.begin()
    (server,) = begun
    forked_workers.begin()  # there is one
    assert begun == [server]
    with forked_workers.serving() as file:
        assert begun == []  # it is taken, and nobody else ends it
        assert file is not None and file.read_text().startswith("#!/bin/sh\nexec ")
        forked_workers.end_unused()
        assert server.process.poll() is None
    assert server.process.poll() is not None
    assert not server.folder.exists()


def test_a_server_that_no_ray_uses_ends(begun: list[forked_workers._Server]) -> None:
    forked_workers.begin()
    (server,) = begun
    forked_workers.end_unused()
    assert begun == [] and server.process.poll() is not None and not server.folder.exists()


def test_workers_start_as_ray_does_where_nothing_may_be_executed(
    begun: list[forked_workers._Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with forked_workers.serving() as file:
        assert file is None


def test_no_worker_is_forked_where_there_is_a_gpu(
    begun: list[forked_workers._Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(forked_workers, "_DRIVERS_OF_GPUS", (str(tmp_path / "nvidiactl"),))
    with forked_workers.serving() as file:
        assert begun == [] and file is None
