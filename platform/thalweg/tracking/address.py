"""Tracking addresses: the default, and a quick check without MLflow that an address can be used."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from thalweg.errors import ConnectionFailed, OutputError
from thalweg.files import discard

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
SECONDS_TO_ANSWER = 5.0

SQLITE = "sqlite:///"
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_DRIVERS = {"postgresql": "psycopg2", "mysql": "MySQLdb", "mssql": "pyodbc"}
_HOSTED = ("databricks", "databricks-uc", "uc")
_WAY_OUT = f"try {DEFAULT_TRACKING_URI} or http://127.0.0.1:5000"


def default_uri() -> str:
    """Returns ``MLFLOW_TRACKING_URI``, or a SQLite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def resolve_uri(uri: str) -> str:
    """Returns the address with an absolute SQLite path, so that it is valid in any process."""
    if not uri.startswith(SQLITE):
        return uri
    return f"{SQLITE}{sqlite_path(uri)}"


def sqlite_path(uri: str) -> Path:
    """Returns the database file that a ``sqlite:///`` address names."""
    return Path(unquote(uri.removeprefix(SQLITE))).absolute()


def file_identity(uri: str) -> tuple[int, int] | None:
    """Returns device and inode of a SQLite file; None for other addresses, and if there is no file."""
    try:
        found = sqlite_path(uri).stat() if uri.startswith(SQLITE) else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def artifact_folder(uri: str) -> Path | None:
    """Returns the folder of artifacts; None if a server decides.

    It is ``mlartifacts`` beside a SQLite file, and in the working directory for other databases.
    """
    if uri.startswith(SQLITE):
        return sqlite_path(uri).parent / "mlartifacts"
    return Path("mlartifacts").absolute() if _database(uri) in _DATABASE_PORTS else None


def check_tracking(uri: str) -> None:
    """Checks that MLflow can be reached at an address; takes seconds at most and does not import MLflow.

    Raises:
        ConnectionFailed: The address is malformed, or does not answer.
        OutputError: The SQLite file cannot be written.
    """
    scheme = _database(uri)
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme == "sqlite":
        _check_sqlite(uri)
    elif scheme in _DATABASE_PORTS:
        _check_database(uri, scheme)
    elif scheme == "file" or ("://" not in uri and uri not in _HOSTED):
        raise ConnectionFailed(
            f"MLflow no longer records to a plain folder, got the tracking URI {uri!r}; {_WAY_OUT}"
        )
    elif scheme not in _HOSTED and uri not in _HOSTED:
        known = ", ".join(["sqlite", "http", "https", *_DATABASE_PORTS, "databricks"])
        raise ConnectionFailed(f"a tracking URI must begin with one of {known}, got {uri!r}; {_WAY_OUT}")


def _database(uri: str) -> str:
    return uri.partition("://")[0].partition("+")[0].lower() if "://" in uri else ""


def _check_server(uri: str) -> None:
    url = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        request = urllib.request.Request(url, headers=_credentials())
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
            json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise ConnectionFailed(_refusal(uri, error.code)) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ConnectionFailed(
            f"the tracking URI must name an MLflow server, got {uri}, which answers otherwise; {_WAY_OUT}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionFailed(
            f"the MLflow server must answer within {SECONDS_TO_ANSWER:.0f} s, got {reason} from {uri}; "
            f"start it, correct the address, or record locally with {DEFAULT_TRACKING_URI}"
        ) from None


def _refusal(uri: str, code: int) -> str:
    if code in (401, 403):
        return (
            f"the MLflow server must accept the credentials, got HTTP {code} from {uri}; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return f"the tracking URI must name an MLflow server, got HTTP {code} from {uri}; {_WAY_OUT}"


def _credentials() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _check_sqlite(uri: str) -> None:
    if not uri.startswith(SQLITE) or not uri.removeprefix(SQLITE) or ":memory:" in uri:
        raise ConnectionFailed(
            f"a SQLite tracking URI must be sqlite:///FILE, got {uri!r}; try {DEFAULT_TRACKING_URI}"
        )
    path = sqlite_path(uri)
    # the check never makes the file itself: that is left to the process that records
    probe = path if path.exists() else path.with_name(f"{path.name}.{os.getpid()}.check")
    try:
        # a table that is taken back shows what permission bits cannot: a full disk, a read-only mount, a broken file;
        # of a file that it may only read, SQLite gives even the lock for writing
        with sqlite3.connect(probe, timeout=SECONDS_TO_ANSWER, isolation_level=None) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE thalweg_check (number INTEGER)")
            database.execute("ROLLBACK")
        database.close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return  # somebody writes there, and a record waits for as long as that takes
        raise OutputError(
            f"the tracking database must be a SQLite file that can be written, got {path}: {error}; "
            "choose another with --tracking-uri sqlite:///FILE, in a folder that exists"
        ) from None
    finally:
        if probe != path:
            discard(probe)


def _check_database(uri: str, scheme: str) -> None:
    driver = uri.partition("://")[0].partition("+")[2] or _DRIVERS[scheme]
    if importlib.util.find_spec(driver) is None:
        raise ConnectionFailed(
            f"a {scheme} tracking URI needs the Python module {driver}, got none; install it or use a server"
        )
    try:
        parts = urlsplit(uri)
        address = (parts.hostname or "localhost", parts.port or _DATABASE_PORTS[scheme])
        socket.create_connection(address, timeout=SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        raise ConnectionFailed(
            f"the tracking database must answer within {SECONDS_TO_ANSWER:.0f} s, got {error} "
            f"from {uri.rpartition('@')[2]}; start it, or record locally with {DEFAULT_TRACKING_URI}"
        ) from None
