"""A trial that several workers trained is reproduced by as many, which the command starts itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from thalweg.errors import ResourceError
from thalweg.search.reproduction.original import of_study
from thalweg.search.reproduction.several_workers import launch, workers_of
from thalweg.search.store.records import read_study

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a study that two workers trained, on torchrun; the trial waits only where `waited` is missing."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "waited").touch()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = ["-m", "tests.thalweg.search.reproduction.pair_of_workers", str(folder)]
    path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    subprocess.run(
        [*torchrun, *module], check=True, timeout=500, cwd=folder, env=os.environ | {"PYTHONPATH": path}
    )
    yield folder


def _command(pair: Path) -> list[str]:
    return [sys.executable, "-m", "thalweg", "reproduce", "pair", "--output", str(pair), "--data", str(pair)]


@pytest.mark.slow
def test_two_workers_train_it_again_bit_for_bit(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = read_study(pair / "pair", "pair")
    assert workers_of(of_study(record, 0, pair / "pair")) == 2
    ran = subprocess.run(_command(pair), capture_output=True, text=True, timeout=500, cwd=pair)
    told = " ".join(ran.stdout.split())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert told.startswith("starts 2 workers on this machine trial 0 of pair")
    assert told.count("trial 0 of pair") == 1  # the other worker is silent
    assert "2 workers, 4 evaluations of 4" in told and "nothing that is recorded differs here" in told
    assert "equal bit for bit: 4 evaluations" in told
    assert not ran.stderr, ran.stderr


@pytest.mark.slow
def test_the_answer_of_the_workers_is_that_of_the_command(pair: Path) -> None:
    words = [*_command(pair)[3:], "--samples", "5"]
    assert launch(2, words) == 2


@pytest.mark.slow
def test_workers_that_end_for_one_reason_say_it_once(pair: Path) -> None:
    platform = [
        path for path in os.environ["PYTHONPATH"].split(os.pathsep) if path != str(ROOT / "tests/plugins")
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(platform)}
    ran = subprocess.run(
        _command(pair), capture_output=True, text=True, timeout=500, cwd=pair, env=environment
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert ran.stderr.startswith("error: ") and ran.stderr.count("families.toy") == 1
    assert len(ran.stderr.splitlines()) == 1, ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
def test_a_signal_ends_all_workers_within_seconds_and_leaves_nothing(
    pair: Path, tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    kept = sorted(path for path in pair.rglob("*") if path.is_file())
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "told").open("w+") as told:
        process = subprocess.Popen(
            _command(pair),
            stdout=told,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=environment,
            process_group=0,
        )
        until = time.monotonic() + 300
        while not (tmp_path / "waited").exists():  # one worker sleeps, the other waits for it in a reduction
            assert process.poll() is None and time.monotonic() < until, (tmp_path / "told").read_text()
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2
        began = time.monotonic()
        for number in numbers:  # to the whole group, as from a terminal
            os.killpg(process.pid, number)
            time.sleep(0.2)
        code = process.wait(60)
    assert code == 128 + numbers[0]
    assert time.monotonic() - began < 20
    assert not [child for child in children if child.is_running()]
    lines = (tmp_path / "told").read_text().splitlines()
    assert lines[-2:] == [
        "of this training nothing is kept, and the record of trial 0 of pair is as it was; the same command begins "
        "anew",
        "stopped",
    ]
    assert not [line for line in lines if "Traceback" in line or "Error" in line or "torch" in line], lines
    assert lines.count("stopped") == 1
    assert sorted(path for path in pair.rglob("*") if path.is_file()) == kept
    assert not (pair / "reproduce").exists()
    assert not list(tmp_path.glob("thalweg-workers-*")) + list(tmp_path.glob("torchelastic_*"))


_ENDED_BY_THE_LAUNCHER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if os.environ["RANK"] == "0":
    time.sleep(1)
    sys.exit(2)
time.sleep(60)
"""


@pytest.mark.slow
def test_the_answer_is_not_that_of_workers_that_the_launcher_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "thalweg.py").write_text(_ENDED_BY_THE_LAUNCHER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert launch(2, []) == 2


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "thalweg.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ResourceError, match="all 2 workers must live to the end, got an end by signal 9"):
        launch(2, [])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
