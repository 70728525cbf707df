"""A study as its user runs it: the command in a terminal, killed, stopped, continued."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from thalweg.cli.app import app
from thalweg.search.store.records import StudyRecord, read_study

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

COMMAND = [
    sys.executable,
    "-m",
    "thalweg",
    "search",
    "spaces.toys",
    "--study",
    "toys",
    "--plain",
    "--lanes",
    "1",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the user works."""
    return tmp_path_factory.mktemp("work")


@contextmanager
def _started(folder: Path, *more: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        **how,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    while line := process.stdout.readline():
        yield line


def _wait_for(process: subprocess.Popen[str], pattern: str) -> list[str]:
    seen = []
    for line in _lines(process):
        seen.append(line)
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"{pattern!r} never came:\n{''.join(seen)}")


def _record(folder: Path) -> StudyRecord:
    return read_study(folder / "thalweg_runs" / "toys", "toys")


def _vanished(pids: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and _alive(pid) for pid in pids):
            return True
        time.sleep(0.5)
    return False


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _family_of(process: subprocess.Popen[str]) -> list[int]:
    """Returns what the process has started; Ray's two agents of a node, which hold nothing, notice its end late."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child.pid for child in children if "Agent" not in " ".join(child.cmdline())]


def test_a_killed_driver_takes_its_ray_along_and_its_study_goes_on_until_ctrl_c_stops_it_cleanly(
    folder: Path,
) -> None:
    with _started(folder) as process:
        _wait_for(process, r"trial 0 (complete|pruned)")
        children = _family_of(process)
        os.kill(process.pid, signal.SIGKILL)
    assert len(children) > 5
    assert _vanished(children)
    ended = {trial.number for trial in _record(folder).trials if trial.status not in ("running", "waiting")}
    assert 0 in ended

    with _started(folder, "--trials", "40") as process:
        seen = _wait_for(process, r"trial 1\d (complete|pruned|failed)")
        children = _family_of(process)
        os.kill(process.pid, signal.SIGINT)
        output = "".join([*seen, *_lines(process)])
        assert process.wait() == 130, output
    assert "Traceback" not in output
    assert "raylet" not in output
    assert _vanished(children)
    record = _record(folder)
    assert {trial.status for trial in record.trials} <= {"complete", "pruned", "failed", "waiting"}
    assert ended <= {
        trial.number for trial in record.trials if trial.status in ("complete", "pruned", "failed")
    }
    waiting = {trial.continues for trial in record.trials if trial.status == "waiting"}
    interrupted = [trial.number for trial in record.trials if trial.interrupted and trial.number in waiting]
    if interrupted:
        many = "trial" if len(interrupted) == 1 else "trials"
        assert f"{len(interrupted)} {many} interrupted ({interrupted[0]} after " in output
    assert 10 <= sum(not trial.interrupted and trial.status != "waiting" for trial in record.trials) < 40


def test_sigterm_to_its_process_group_preempts_the_trials_of_a_search(tmp_path: Path) -> None:
    with _started(tmp_path, "--trials", "40", process_group=0) as process:
        seen = _wait_for(process, r"trial 2 (complete|pruned|failed)")
        children = _family_of(process)
        os.killpg(
            process.pid, signal.SIGTERM
        )  # as `timeout` and shells do, which reaches Ray, too, if it can
        output = "".join([*seen, *_lines(process)])
        assert process.wait() == 143, output
    assert "interrupted: stopped by SIGTERM" in output and "Traceback" not in output
    assert _vanished(children)
    trials = _record(tmp_path).trials
    assert "running" not in {trial.status for trial in trials}
    assert {trial.ended_as for trial in trials if trial.interrupted} <= {"preempted"}
    assert "stopped_by_user" not in output


# Ray warns of its own deprecations while this process has joined it.
@pytest.mark.filterwarnings("ignore:::ray")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_resources_that_can_never_be_had_are_named_within_a_minute(
    ray_address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    began = time.monotonic()
    words = [*COMMAND[3:5], "--study", "gpus", "--plain", "--gpus", "3", "--wait", "1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "a lane needs 1 x 1 CPU and 3 GPU at the same time, got" in done.stderr
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.stderr + done.stdout
    assert time.monotonic() - began < 120


def test_an_address_where_no_ray_answers_is_named(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND[:5], "--study", "nowhere", "--plain", "--address", "127.0.0.1:1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "a Ray cluster must answer at --address, got '127.0.0.1:1'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


_VISIBLE = """
import os, signal, sys, threading, time
from pathlib import Path
from thalweg.lanes.cluster import connect
from thalweg.lanes.interruption import ending_raises, signal_of
try:
    say = lambda text: print(text, file=sys.stderr)
    with ending_raises(), connect(None, Path(sys.argv[1]), num_cpus=1, tell=say):
        import ray
        visible = ray.remote(lambda: os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
        print(ray.get(visible.remote()) or "none")
        waiting = ray.remote(num_cpus=0)(lambda: time.sleep(60)).remote()
        threading.Timer(1, os.killpg, (0, signal.SIGTERM)).start()
        ray.wait([waiting])
except KeyboardInterrupt as error:
    print(signal_of(error).name)
"""


def test_a_local_ray_hides_gpus_that_nobody_booked_needs_no_home_folder_and_leaves_sigterm_alone(
    tmp_path: Path,
) -> None:
    foreign = ("CUDA_VISIBLE_DEVICES", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    command = [sys.executable, "-c", _VISIBLE, str(tmp_path / "ray.log")]
    environment |= {"HOME": "/proc/nowhere"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=True, process_group=0
    )
    assert done.stdout.split() == ["none", "SIGTERM"]
    assert "Ray's token should be kept in ~/.ray, got" in done.stderr
    assert "SIGTERM" not in done.stderr  # a stack of C++, which Ray's own handler prints
