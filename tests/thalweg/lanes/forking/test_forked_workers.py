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
from thalweg.lanes import cluster
from thalweg.lanes.forking import forked_workers

def parent(self=None):
    return os.getppid()

cluster.warm_up()
server, folder = forked_workers._running[0].process.pid, forked_workers._running[0].folder
if sys.argv[1] == "changed":
    os.environ["OMP_NUM_THREADS"] = "3"  # after the server has read it
with cluster.connect(None, Path("ray.log"), num_cpus=1):
    import ray
    parents = ray.get([ray.remote(num_cpus=0)(parent).remote(), ray.remote(num_cpus=1)(parent).remote()])
    assert forked_workers._running[0].process.pid == server
print(json.dumps([server, str(folder), parents, forked_workers._running]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("env", ["same", "changed"])
def test_a_local_ray_forks_its_workers_unless_libraries_would_read_something_else(
    env: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _USES, env], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    server, folder, parents, running = json.loads(done.stdout)
    assert (set(parents) == {server}) == (env == "same")
    assert running == []
    assert not psutil.pid_exists(server)
    assert not Path(folder).exists()


def test_a_server_that_is_still_importing_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running = list[forked_workers._Server]()
    monkeypatch.setattr(forked_workers, "_running", running)
    forked_workers.begin()
    (server,) = running
    forked_workers.begin()  # there is one
    assert running == [server]
    file = forked_workers.executable()
    assert file is not None and file.read_text().startswith("#!/bin/sh\nexec ")
    with monkeypatch.context() as patched:
        patched.setattr("os.access", lambda path, mode: False)  # a folder of which nothing may be executed
        assert forked_workers.executable() is None
    forked_workers.end()
    assert server.process.poll() is not None
    assert not server.folder.exists()
    assert forked_workers.executable() is None


def test_no_worker_is_forked_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running = list[forked_workers._Server]()
    monkeypatch.setattr(forked_workers, "_running", running)
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(forked_workers, "_DRIVERS_OF_GPUS", (str(tmp_path / "nvidiactl"),))
    forked_workers.begin()
    assert running == []
    assert forked_workers.executable() is None
