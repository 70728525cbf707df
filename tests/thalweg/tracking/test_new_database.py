"""A new tracking database under kills, locks and company, with MLflow's real migrations."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thalweg.errors import ConnectionFailed
from thalweg.events import StudyEnded
from thalweg.tracking import new_database
from thalweg.tracking.client import connect
from thalweg.tracking.environment import QUIET, environment
from thalweg.tracking.recorder import MLflowRecorder

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [pytest.mark.integration, pytest.mark.slow]

THALWEG = "import sys; from thalweg.tracking.client import connect; connect(sys.argv[1])"
MLFLOW = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1])"
LATEST = "SELECT version_num FROM alembic_version"


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path, timeout=60.0)) as database:
        return database.execute(query).fetchall()


def num_tables(folder: Path) -> int:
    """Tables of the database that is being made in a folder, whatever its file is called."""
    files = [path for path in folder.glob("mlflow.db*") if not path.name.endswith(("-journal", ".lock"))]
    return sum(len(rows(path, "SELECT 1 FROM sqlite_master WHERE type = 'table'")) for path in files)


def kill_while_making(code: str, folder: Path) -> None:
    command = [sys.executable, "-c", code, f"sqlite:///{folder / 'mlflow.db'}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment(QUIET), stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + 120.0
    while num_tables(folder) < 30:
        assert process.poll() is None, "made before it could be killed"
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def record(uri: str, make: Any) -> list[str]:
    said: list[str] = []
    recorder = MLflowRecorder(uri, tell=said.append)
    for event in [make.started(), *make.whole(0, 0.5), StudyEnded(end="finished")]:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    return said


def statuses(path: Path) -> list[str]:
    return [status for (status,) in rows(path, "SELECT status FROM runs")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracking" / "mlflow.db"


def test_a_kill_while_the_database_is_made_leaves_nothing_in_the_way(path: Path, make: Any) -> None:
    path.parent.mkdir()
    kill_while_making(THALWEG, path.parent)
    assert not path.exists()
    assert record(f"sqlite:///{path}", make) == []
    assert statuses(path) == ["FINISHED", "FINISHED"]
    assert {file.name for file in path.parent.iterdir()} == {"mlflow.db", "mlartifacts"}


def test_a_half_made_database_that_mlflow_itself_left_is_made_anew(path: Path, make: Any) -> None:
    path.parent.mkdir()
    kill_while_making(MLFLOW, path.parent)
    os.utime(path, (0, 0))  # nobody has touched it for long
    assert record(f"sqlite:///{path}", make) == []
    assert statuses(path) == ["FINISHED", "FINISHED"]


def test_two_studies_that_begin_on_one_new_database_both_arrive(
    path: Path, make: Any, tmp_path: Path
) -> None:
    path.parent.mkdir()
    makers = [type(make)(name, tmp_path / name) for name in ("one", "two")]
    threads = [threading.Thread(target=record, args=(f"sqlite:///{path}", each)) for each in makers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses(path) == ["FINISHED"] * 4
    names = {name for (name,) in rows(path, "SELECT name FROM experiments")}
    assert names == {"Default", "one", "two"}


def test_a_database_with_runs_that_a_kill_left_half_upgraded_is_refused_and_kept(
    path: Path, uri: str, client: "MlflowClient", study: str
) -> None:
    client.create_run(client.create_experiment(study))
    path.parent.mkdir()
    shutil.copyfile(uri.removeprefix("sqlite:///"), path)
    with closing(sqlite3.connect(path)) as database, database:
        # the tables of that step and of later ones exist, as after a kill before the version was noted
        database.execute("UPDATE alembic_version SET version_num = 'bf29a5ff90ea'")
        database.execute("DROP TABLE webhooks")
    with pytest.raises(ConnectionFailed, match=r"half upgraded.*which holds runs.*copy from before"):
        connect(f"sqlite:///{path}")
    assert statuses(path) == [status for (status,) in rows(Path(uri[10:]), "SELECT status FROM runs")]


def test_a_database_that_a_server_made_is_left_as_it_is(path: Path, uri: str, client: "MlflowClient") -> None:
    path.parent.mkdir()
    connect(f"sqlite:///{path}")
    made = path.stat()
    connect(f"sqlite:///{path}")
    assert path.stat().st_ino == made.st_ino
    assert rows(path, LATEST) == rows(Path(uri[10:]), LATEST)


def test_the_disk_is_not_waited_for_while_a_draft_is_made_and_is_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine

    monkeypatch.setattr(sqlite3.dbapi2, "connect", sqlite3.connect)  # tests wait for no disk else

    def waits(name: str) -> bool:
        engine = create_engine(f"sqlite:///{tmp_path / name}")
        with engine.connect() as held:
            number = held.exec_driver_sql("PRAGMA synchronous").scalar()
        engine.dispose()
        return bool(number)

    with new_database._unflushed():
        assert not waits("draft.db")
    assert waits("whole.db")
