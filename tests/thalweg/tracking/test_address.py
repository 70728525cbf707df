import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import ConnectionFailed, OutputError
from thalweg.tracking.address import artifact_folder, check_tracking, resolve_uri


class Answer(BaseHTTPRequestHandler):
    """Answers as the path's first part says: /401/..., /html/..., /json/..."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.send_response(int(kind) if kind.isdigit() else 200)
        self.end_headers()
        self.wfile.write(b'{"experiments": []}' if kind == "json" else b"<html></html>")

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_a_server_that_speaks_mlflow_is_accepted(server: str) -> None:
    check_tracking(f"{server}/json")


def test_a_server_that_is_something_else_is_refused(server: str) -> None:
    with pytest.raises(ConnectionFailed, match="must name an MLflow server"):
        check_tracking(f"{server}/html")


def test_a_server_that_wants_credentials_says_how_to_give_them(server: str) -> None:
    with pytest.raises(ConnectionFailed, match="MLFLOW_TRACKING_USERNAME"):
        check_tracking(f"{server}/401")


def test_a_server_that_is_not_there_is_refused_within_seconds() -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ConnectionFailed, match="must answer within 5 s"):
        check_tracking(f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < 7


@pytest.mark.slow
def test_a_server_that_never_answers_is_refused_within_seconds() -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ConnectionFailed, match="timed out"):
            check_tracking(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    "uri", ["htp://host:5000", "localhost:5000", "", "./mlruns", "file:///tmp/runs", "http://"]
)
def test_an_address_that_means_nothing_is_refused_with_a_way_out(uri: str) -> None:
    with pytest.raises(ConnectionFailed, match=r"sqlite:///mlflow\.db"):
        check_tracking(uri)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "sqlite://relative.db"])
def test_a_sqlite_address_must_name_a_file(uri: str) -> None:
    with pytest.raises(ConnectionFailed, match="sqlite:///FILE"):
        check_tracking(uri)


def test_a_sqlite_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="in a folder that exists"):
        check_tracking(f"sqlite:///{tmp_path}/missing/mlflow.db")


def test_a_file_that_is_no_sqlite_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("lat,lon\n" * 1000)
    with pytest.raises(OutputError, match="not a database"):
        check_tracking(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_sqlite_file_that_is_read_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    sqlite3.connect(path).execute("CREATE TABLE a (b)").connection.close()
    path.chmod(0o400)
    with pytest.raises(OutputError, match="readonly"):
        check_tracking(f"sqlite:///{path}")


def test_a_sqlite_file_that_can_only_be_opened_for_reading_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "mlflow.db", sqlite3.connect
    connect(path).execute("CREATE TABLE a (b)").connection.close()
    monkeypatch.setattr(  # as SQLite does by itself on a file system that is mounted so
        sqlite3, "connect", lambda file, **options: connect(f"file:{file}?mode=ro", uri=True, **options)
    )
    with pytest.raises(OutputError, match="readonly"):
        check_tracking(f"sqlite:///{path}")


def test_a_sqlite_file_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="in a folder that exists"):
        check_tracking(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_the_check_leaves_a_database_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    for text in ("", "CREATE TABLE a (b)"):
        sqlite3.connect(path).execute(text).connection.close()
        before = path.read_bytes() if path.exists() else None
        check_tracking(f"sqlite:///{path}")
        assert (path.read_bytes() if path.exists() else None) == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_check_leaves_no_file_behind(tmp_path: Path) -> None:
    check_tracking(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_the_check_leaves_a_database_alone_that_another_study_makes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "mlflow.db", sqlite3.connect

    def connect_late(*args: Any, **options: Any) -> sqlite3.Connection:
        with closing(connect(path)) as other:
            other.execute("CREATE TABLE IF NOT EXISTS runs (run_uuid)")
        found: sqlite3.Connection = connect(*args, **options)
        return found

    monkeypatch.setattr(sqlite3, "connect", connect_late)
    check_tracking(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_that_somebody_is_writing_to_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.tracking.address.SECONDS_TO_ANSWER", 0.1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE runs (run_uuid)")
        other.execute("BEGIN EXCLUSIVE")
        check_tracking(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_database_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConnectionFailed, match=r"psycopg2|must answer"):
        check_tracking("postgresql://user:secret@127.0.0.1:1/mlflow")


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ConnectionFailed) as caught:
        check_tracking("postgresql+sqlite3://user:secret@127.0.0.1:1/mlflow")
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_relative_sqlite_address_holds_in_any_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert resolve_uri("http://host") == "http://host"


def test_artifacts_lie_beside_a_sqlite_file(tmp_path: Path) -> None:
    assert artifact_folder(f"sqlite:///{tmp_path}/mlflow.db") == tmp_path / "mlartifacts"
    assert artifact_folder("http://host") is None
