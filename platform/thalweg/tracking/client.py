"""The MLflow client that every part of Thalweg uses."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from thalweg.errors import ConnectionFailed
from thalweg.tracking.address import SQLITE, resolve_uri, sqlite_path
from thalweg.tracking.environment import be_quiet
from thalweg.tracking.new_database import is_used, make_whole

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(uri: str) -> MlflowClient:
    """Returns a client of an address that `check_tracking` accepted; creates a SQLite database if there is none.

    Raises:
        ConnectionFailed: It does not answer any more, or MLflow cannot use the database.
    """
    be_quiet()
    uri = resolve_uri(uri)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        make_whole(uri)
        return MlflowClient(uri)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise ConnectionFailed(_reason(uri, str(error).partition("\n")[0])) from error


def _reason(uri: str, reason: str) -> str:
    if uri.startswith(SQLITE) and "already exists" in reason and is_used(uri):
        return (
            f"a tracking database must not be half upgraded, got {sqlite_path(uri)}, which holds runs: {reason}; "
            "put back a copy from before the upgrade, or choose another --tracking-uri"
        )
    return f"MLflow must answer, got {reason}; choose another --tracking-uri"
