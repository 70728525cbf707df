"""Creates MLflow's SQLite database atomically, even if the process is killed or several start at once.

MLflow makes its tables and then migrates them in some sixty steps without a transaction. A process that ends in
between leaves a file that MLflow refuses for ever. Here one process at a time makes the tables in a draft beside the
file, and the finished draft takes the file's name.

``python -m thalweg.tracking.new_database URI`` does the same in a process of its own, which may be killed, before
MLflow's server is started.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from thalweg.errors import ConnectionFailed
from thalweg.files import LockHeld, locked, publish
from thalweg.tracking.address import SQLITE, resolve_uri, sqlite_path
from thalweg.tracking.environment import be_quiet

MAX_WAIT_S = 120.0
QUIET_S = 20.0
"""If a database without a run has not changed for this long, no process is making it."""

_LOCK, _DRAFT = ".lock", ".draft"
_COMPANIONS = ("-journal", "-wal", "-shm")
_VERSION = "alembic_version"


def make_whole(uri: str) -> None:
    """Makes the database of a ``sqlite:///`` address if there is none, or if it was never finished.

    A database that holds anything stays as it is. Other addresses are ignored.

    Raises:
        ConnectionFailed: Another process does not finish making it.
        sqlite3.Error: The database is locked.
        OSError: Its folder cannot be written.
    """
    if not uri.startswith(SQLITE) or is_used(uri):
        return
    path = sqlite_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(path), _draft(path) as draft:
        if _publish(draft, path):
            return
        with closing(_open(path)) as old:
            unfinished = _is_unfinished(old, draft)
        if unfinished:
            _await_quiet(path)
            _replace(path, draft)


def is_used(uri: str) -> bool:
    """Returns whether a SQLite database holds a run or a study, without importing MLflow."""
    path = sqlite_path(uri)
    if not path.exists() or not path.stat().st_size:
        return False
    with closing(_open(path)) as database:
        tables = _tables(database)
        if "runs" in tables and database.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
            return True
        return "experiments" in tables and _count(database, "experiments") > 1


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Waits until nobody else makes this database; the kernel takes the lock from a process that dies."""
    lock = path.with_name(path.name + _LOCK)
    try:
        with locked(lock, max_wait_s=MAX_WAIT_S, temporary=True):
            yield
    except LockHeld:
        raise ConnectionFailed(
            f"a tracking database must be made within {MAX_WAIT_S:.0f} s, got {path}, which another process "
            f"has been making for longer; end the process that holds {lock}, or choose another --tracking-uri"
        ) from None


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Makes a whole database beside the file; an unfinished one of an earlier process is deleted."""
    draft = path.with_name(path.name + _DRAFT)
    _discard(draft)
    be_quiet()
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    try:
        with _unflushed():
            made = SqlAlchemyStore(f"{SQLITE}{draft}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)  # type: ignore[no-untyped-call]
            made.engine.dispose()
        yield draft
    finally:
        _discard(draft)


@contextmanager
def _unflushed() -> Iterator[None]:
    """Lets SQLite not wait for the disk after each of hundreds of steps: a draft is flushed when it gets its name."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hurry(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hurry)


def _discard(draft: Path) -> None:
    for suffix in ("", *_COMPANIONS):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> bool:
    """Gives a draft its name; False if a file has that name already."""
    if path.exists():
        return False
    for companion in _COMPANIONS:  # of a file that somebody deleted: SQLite would play them back
        path.with_name(path.name + companion).unlink(missing_ok=True)
    try:
        publish(draft, path)  # never in the place of what another program has just made
    except FileExistsError:
        return False
    return True


def _is_unfinished(old: sqlite3.Connection, draft: Path) -> bool:
    """Returns whether a database was never finished, and holds no more rows than a fresh one."""
    with closing(_open(draft)) as fresh:
        has, wanted = _tables(old), _tables(fresh)
        if wanted <= has and _version(old) == _version(fresh):
            return False
        limits = {table: _count(fresh, table) for table in wanted}
    return all(_count(old, table) <= limits.get(table, 0) for table in has - {_VERSION})


def _await_quiet(path: Path) -> None:
    """Waits while a process that does not use our lock, such as MLflow's server, may be making the database."""
    while (age := time.time() - path.stat().st_mtime) < QUIET_S:
        time.sleep(max(0.1, min(1.0, QUIET_S - age)))


def _replace(path: Path, draft: Path) -> None:
    """Replaces a database that was never finished by the draft, under SQLite's exclusive lock."""
    with closing(_open(path)) as old:
        old.execute("BEGIN EXCLUSIVE")
        if _is_unfinished(old, draft):
            publish(draft, path, overwrite=True)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=QUIET_S, isolation_level=None)


def _tables(database: sqlite3.Connection) -> set[str]:
    rows = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return {name for (name,) in rows}


def _count(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])


def _version(database: sqlite3.Connection) -> str | None:
    with suppress(sqlite3.OperationalError):  # no such table
        row = database.execute(f"SELECT version_num FROM {_VERSION}").fetchone()
        return row[0] if row else None
    return None


def main() -> None:
    """Makes the database that the first argument names."""
    make_whole(resolve_uri(sys.argv[1]))


if __name__ == "__main__":
    main()
