"""A Ray that starts late, or not at all."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import ConnectionFailed
from thalweg.lanes import cluster

ray = pytest.importorskip("ray")


def _asks(get_node: Callable[..., Any]) -> Any:
    return get_node("host:1", "n")


def test_a_node_that_registers_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    asked: list[tuple[str, str]] = []

    def late(address: str, node: str) -> dict[str, str]:
        asked.append((address, node))
        if len(asked) < 3:
            raise RuntimeError("no such node yet")
        return {"node": node}

    monkeypatch.setattr(services, "get_node", late)
    with cluster._patiently():
        assert _asks(services.get_node) == {"node": "n"}
    assert asked == [("host:1", "n")] * 3
    assert services.get_node is late


def test_a_node_that_never_registers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    def never(*_: str) -> None:
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", never)
    monkeypatch.setattr(cluster, "_START_S", 0.3)
    with cluster._patiently(), pytest.raises(RuntimeError, match="no such node"):
        _asks(services.get_node)


def test_a_ray_that_does_not_start_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nMore.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        ConnectionFailed,
        match=r"Ray must start .* within 300 s, got The current node timed out during startup\. \(\d+ cores, load",
    ):
        cluster._start(None, None, tmp_path / "ray.log")


_ASKS = """
import os, sys
from pathlib import Path
from thalweg.errors import ConnectionFailed
from thalweg.lanes import cluster
if sys.argv[2] == "nobody":
    import ray
    def init(**_): raise ConnectionError("not let in")
    ray.init = init
    cluster._check_address = lambda address: None
try:
    with cluster.connect(sys.argv[1], Path("ray.log")):
        import ray
        print(ray.get(ray.remote(num_cpus=0)(lambda: "inside").remote()))
except ConnectionFailed as error:
    print(error)
"""


def _ask(home: Path, address: str, **variables: str) -> str:
    """Asks as a fresh shell does, in which no variable of Ray's is set."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", _ASKS, address, "somebody" if ":" in address else address],
        capture_output=True,
        text=True,
        cwd=home,
        env=shell | {"HOME": str(home)} | variables,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.integration
@pytest.mark.slow
def test_the_token_in_the_home_folder_is_sent_to_a_cluster_that_asks_for_it(
    ray_address: str, tmp_path: Path
) -> None:
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text(os.environ["RAY_AUTH_TOKEN"])
    assert _ask(tmp_path, ray_address) == "inside"


@pytest.mark.slow
def test_a_cluster_that_lets_nobody_in_may_ask_for_a_token(tmp_path: Path) -> None:
    without = _ask(tmp_path, "nobody")
    assert "got 'nobody' (not let in)" in without
    assert "none was sent: set RAY_AUTH_MODE=token and copy ~/.ray/auth_token of the head here" in without
    other = _ask(tmp_path, "nobody", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
    assert "the one that was sent is another" in other


_KEEPS = """
import os, sys
from pathlib import Path
from thalweg.lanes import cluster
from ray._raylet import AuthenticationTokenLoader
loader = AuthenticationTokenLoader.instance()
folder = Path(sys.argv[1])
with cluster._token(folder, print):
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
