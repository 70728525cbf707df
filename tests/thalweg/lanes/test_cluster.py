"""A Ray that starts late, or not at all."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import ConnectionFailed
from thalweg.lanes import cluster
from thalweg.lanes.forking import forked_workers

ray = pytest.importorskip("ray")


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


def test_ctrl_c_while_ray_ends_leaves_neither_processes_nor_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []

    def shutdown() -> None:
        calls.append(len(list(tmp_path.iterdir())))
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(forked_workers, "short_temp", lambda: str(tmp_path))
    monkeypatch.setattr(forked_workers, "begin", lambda: None)
    monkeypatch.setattr(cluster, "_start", lambda *terms: pytest.fail("interrupted before"))
    with pytest.raises((KeyboardInterrupt, pytest.fail.Exception)), cluster.connect(None, Path("/dev/null")):
        pass
    assert calls == [1, 1]  # the folder is there until Ray has ended
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("log", ["/dev/full", "/proc/nowhere/ray.log"])
def test_a_log_that_cannot_be_written_says_nothing(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    with cluster._redirected(Path(log)):
        logging.getLogger("ray.tune").error("Saving the state failed")
    assert capsys.readouterr() == ("", "")


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
