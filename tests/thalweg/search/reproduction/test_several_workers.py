"""A trial that several workers trained is reproduced by as many, which the command starts itself."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg.errors import ResourceError
from thalweg.search.reproduction.original import of_study
from thalweg.search.reproduction.several_workers import launch, workers_of
from thalweg.search.store.records import read_study

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a study that two workers trained, on torchrun."""
    folder = tmp_path_factory.mktemp("pair")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = ["-m", "tests.thalweg.search.reproduction.pair_of_workers", str(folder)]
    subprocess.run([*torchrun, *module], check=True, timeout=500, cwd=ROOT)
    yield folder


@pytest.mark.slow
def test_two_workers_train_it_again_bit_for_bit(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = read_study(pair / "pair", "pair")
    assert workers_of(of_study(record, 0, pair / "pair")) == 2
    words = ["reproduce", "pair", "--output", str(pair), "--data", str(pair)]
    ran = subprocess.run(
        [sys.executable, "-m", "thalweg", *words], capture_output=True, text=True, timeout=500
    )
    told = " ".join(ran.stdout.split())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert told.startswith("starts 2 workers on this machine trial 0 of pair")
    assert told.count("trial 0 of pair") == 1  # the other worker is silent
    assert "2 workers, 4 evaluations of 4" in told and "nothing that is recorded differs here" in told
    assert "equal bit for bit: 4 evaluations" in told
    assert not ran.stderr, ran.stderr


@pytest.mark.slow
def test_the_answer_of_the_workers_is_that_of_the_command(pair: Path) -> None:
    words = ["reproduce", "pair", "--samples", "5", "--output", str(pair)]
    assert launch(2, words) == 2


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
