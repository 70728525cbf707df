"""What happens while Ray starts, and that a cluster that comes to nothing is left again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from thalweg.errors import ConnectionFailed, OutputError, SpaceError
from thalweg.events import Event as StudyEvent
from thalweg.search import run
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting import early_start
from thalweg.search.starting.early_start import CalledOff, connect_early, meanwhile
from thalweg.search.starting.readiness import make_ready
from thalweg.search.starting.run_options import Options


class Cluster:
    """Takes the place of Ray, and listens: notes when it is connected and left, and what happens."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def connect(self, address: str | None, log: Path, **options: Any) -> Iterator[str]:
        self.told.append("connected")
        try:
            yield "address"
        finally:
            self.told.append("left")

    def handle(self, event: StudyEvent) -> None:
        """Notes an event."""
        self.told.append(type(event).__name__)

    def close(self) -> None:
        """Keeps what was told."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    for module in (run, early_start):
        monkeypatch.setattr(module, "connect", cluster.connect)
    return cluster


@pytest.mark.slow
def test_a_cluster_that_was_started_early_is_left_before_the_end_is_told(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "book", lambda *_: pytest.fail("no room"))
    prepared = prepare(load_space("spaces.toys"), tmp_path / "data")
    options = Options(name="toys", output=tmp_path)
    with connect_early(options, cluster.told.append) as connection:
        assert cluster.told == ["connected"]
        with pytest.raises(pytest.fail.Exception):
            search(prepared, options, [cluster], connection=connection)
        assert cluster.told[-2:] == ["left", "StudyEnded"]
    assert cluster.told.count("left") == cluster.told.count("connected")


def test_a_cluster_elsewhere_is_not_disturbed_early_and_a_folder_is_refused_before_one_starts(
    tmp_path: Path, cluster: Cluster
) -> None:
    with connect_early(Options(name="toys", output=tmp_path / "new", address="auto"), cluster.told.append):
        assert not cluster.told
    with pytest.raises(OutputError, match="folder must be writable"):
        connect_early(Options(name="toys", output=Path("/proc/nowhere")), cluster.told.append)
    assert not cluster.told
    with connect_early(Options(name="toys", output=tmp_path / "new"), cluster.told.append):
        assert cluster.told == ["connected"] and not list(tmp_path.iterdir())
    assert cluster.told == ["connected", "left"]


def test_work_beside_a_block_is_returned_in_it() -> None:
    begun, goes_on = Event(), Event()

    def work() -> int:
        begun.set()
        assert goes_on.wait(20.0)
        return 3

    with meanwhile(work, Event()) as found:
        assert begun.wait(20.0)  # beside the block, not before or after it
        goes_on.set()
        assert found() == 3


def test_what_is_refused_beside_a_block_is_raised_in_it() -> None:
    def work() -> None:
        raise SpaceError("no such knob")

    with pytest.raises(SpaceError, match="no such knob"), meanwhile(work, Event()) as found:
        found()


def test_a_block_that_ends_early_calls_the_work_off_and_waits_for_its_last_step() -> None:
    begun, called_off, left = Event(), Event(), list[str]()

    def work() -> None:
        begun.set()
        assert called_off.wait(20.0)
        time.sleep(0.05)
        left.append("its last step")

    with pytest.raises(ConnectionFailed), meanwhile(work, called_off):
        assert begun.wait(20.0)
        raise ConnectionFailed("no Ray")
    assert left == ["its last step"]


def test_work_that_is_called_off_says_nothing_more(tmp_path: Path) -> None:
    told, called_off = list[str](), Event()
    space, options = load_space("spaces.toys"), Options(name="toys", output=tmp_path)
    called_off.set()
    with pytest.raises(CalledOff):
        make_ready(space, options, tmp_path / "data", told.append, checks=False, called_off=called_off)
    assert not told
