"""What is reached for within Ray."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.lanes import private_ray


def _asks(get_node: Callable[..., Any]) -> Any:
    return get_node("host:1", "n")


def test_rays_processes_are_out_of_reach_of_signals_to_the_group_of_this_one() -> None:
    from ray._private import services

    popen = services.ConsolePopen
    with private_ray.own_process_groups():
        process = services.ConsolePopen(["sleep", "60"], creationflags=0)
    try:
        assert os.getpgid(process.pid) == process.pid != os.getpgrp()
    finally:
        process.kill()
        process.wait()
    assert services.ConsolePopen is popen


def test_a_node_that_registers_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    asked: list[tuple[str, str]] = []

    def late(address: str, node: str) -> dict[str, str]:
        asked.append((address, node))
        if len(asked) < 3:
            raise RuntimeError("no such node yet")
        return {"node": node}

    monkeypatch.setattr(services, "get_node", late)
    with private_ray.patient(60.0):
        assert _asks(services.get_node) == {"node": "n"}
    assert asked == [("host:1", "n")] * 3
    assert services.get_node is late


def test_a_node_that_never_registers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    def never(*_: str) -> None:
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", never)
    with private_ray.patient(0.3), pytest.raises(RuntimeError, match="no such node"):
        _asks(services.get_node)


def test_a_node_whose_manager_has_died_is_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ray._private import services

    manager = tmp_path / "raylet"
    shutil.copy("/bin/true", manager)
    of_another_ray = subprocess.Popen([manager])
    while not private_ray._ended_children("raylet"):
        time.sleep(0.01)
    started: list[subprocess.Popen[bytes]] = []

    def never(*_: str) -> None:
        if len(started) < 2:
            started.append(subprocess.Popen([manager] if started else ["/bin/true"]))
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", never)
    with private_ray.patient(600.0), pytest.raises(ChildProcessError, match="the end of Ray's node manager"):
        _asks(services.get_node)
    for child in (of_another_ray, *started):
        assert child.wait() == 0


_KEEPS = """
import os, sys
from pathlib import Path
from thalweg.lanes import private_ray
from ray._raylet import AuthenticationTokenLoader
loader = AuthenticationTokenLoader.instance()
folder = Path(sys.argv[1])
with private_ray.local_token(folder, print):
    print(loader.has_token(ignore_auth_mode=True), sorted(path.name for path in folder.iterdir()))
print("RAY_AUTH_TOKEN_PATH" in os.environ)
"""


@pytest.mark.slow
@pytest.mark.parametrize("home", ["writable", "nowhere"])
def test_rays_token_is_kept_where_it_can_be_written(home: str, tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    shell = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", _KEEPS, str(folder)],
        capture_output=True,
        text=True,
        env=shell | {"HOME": str(tmp_path) if home == "writable" else "/proc/nowhere"},
        check=True,
    )
    *told, inside, after = done.stdout.splitlines()
    assert after == "False"
    if home == "writable":
        assert (told, inside) == ([], "True []")
        assert (tmp_path / ".ray" / "auth_token").is_file()
    else:
        assert inside == "True ['auth_token']"
        assert f"it is kept in {folder}" in told[0]
        assert (folder / "auth_token").stat().st_mode & 0o077 == 0


def test_a_file_is_executed_for_workers_in_place_of_python_and_for_nothing_else(tmp_path: Path) -> None:
    from ray._private import services

    popen, said = services.ConsolePopen, tmp_path / "said"
    python = subprocess.list2cmdline([sys.executable])
    word = f"--python_worker_command={python} setup.py worker.py"
    command = ["sh", "-c", f'printf "%s|" "$@" > {said}', "raylet", word, f"--agent={python} a.py"]
    with private_ray.workers_executed_by(Path("/a b/python")):
        services.ConsolePopen(command).wait()
    assert (
        said.read_text() == f'--python_worker_command="/a b/python" setup.py worker.py|--agent={python} a.py|'
    )
    with private_ray.workers_executed_by(None):
        assert services.ConsolePopen is popen
    assert services.ConsolePopen is popen


def _setting_up(**context: Any) -> list[str]:
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.workers import setup_worker

    serialized = RuntimeEnvContext(**context).serialize()
    words = [f"--serialized-runtime-env-context={serialized}", "--language=PYTHON"]
    return [setup_worker.__file__, "worker.py", "--node-id=3", *words, "--webui="]


def test_variables_of_a_runtime_environment_are_set_without_a_process_in_between() -> None:
    argv = _setting_up(env_vars={"A": "2"})
    worker = ["worker.py", "--node-id=3", "--webui="]
    assert private_ray.set_up(argv, {"A": "1", "B": "3"}) == (worker, {"A": "2", "B": "3"})
    assert private_ray.set_up(worker, {"A": "1"}) == (worker, {"A": "1"})


@pytest.mark.parametrize(
    "context",
    [
        {"py_executable": "/other/python"},
        {"command_prefix": ["numactl"]},
        {"override_worker_entrypoint": "other.py"},
    ],
)
def test_what_else_a_runtime_environment_needs_is_left_to_ray(context: dict[str, Any]) -> None:
    argv = _setting_up(env_vars={"A": "2"}, **context)
    assert private_ray.set_up(argv, {"A": "1"}) == (argv, {"A": "1"})


@pytest.mark.slow
def test_an_import_that_defines_actors_draws_no_native_id() -> None:
    """In a process of its own: in this one ids have been drawn."""
    script = """
import os, ray
from thalweg.lanes import private_ray
from thalweg.lanes.forking.fork_server import in_fork
with private_ray.without_random_ids():
    ray.remote(type("One", (), {}))
print(in_fork(private_ray.random_id) != in_fork(private_ray.random_id))
ray.remote(type("Third", (), {}))
print(in_fork(private_ray.random_id) != in_fork(private_ray.random_id))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]  # the second is Ray's own, and why this is needed
