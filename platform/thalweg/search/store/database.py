"""A study in a shared database: while the database is locked or away, the search retries instead of ending.

SQLite lets one connection write at a time, and a backup or an open table browser may lock it for minutes. A server
may restart. The search writes afterwards, or ends with a message that says what to do.
"""

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from thalweg.errors import StudyError

NOTICE_S = 3.0
"""Seconds after which people are told that the search waits."""
MAX_WAIT_S = 600.0
"""Seconds after which the search gives up."""
_PAUSE_S = 0.5
_SQLITE_S = 1.0  # SQLite's own timeout per attempt; several of its default of 5 s would delay the notice
_METHODS = (  # the methods that Optuna's cache calls, and those that they call
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "_get_best_trial_id",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "_get_trials",
)
_logger = logging.getLogger(__name__)
T = TypeVar("T")


class Patience:
    """Retries calls that a database refuses temporarily.

    Args:
        shown: The database's address without its password.

    Attributes:
        tell: Called with a sentence for people when a wait becomes long, and when it is over.
    """

    def __init__(self, shown: str) -> None:
        self.tell: Callable[[str], None] = _logger.warning
        self._shown = shown
        self._is_over = False  # one long wait is enough: later calls only end the search

    def __call__(self, act: Callable[[], T], *, opens: bool = False) -> T:
        """Calls the database, with retries, and returns the result.

        Args:
            act: The call.
            opens: Whether it is the first call, which is not retried if a server does not answer: its address may be
                wrong.

        Raises:
            StudyError: The database cannot be used, or was locked or away for too long.
        """
        began, said = time.monotonic(), False
        while True:
            try:
                result = act()
            except (StorageInternalError, SQLAlchemyError) as error:
                waited = time.monotonic() - began
                if opens and not _is_locked(error):
                    raise
                if not _is_held(error):
                    raise StudyError(self._law(error)) from error
                if self._is_over or waited >= MAX_WAIT_S:
                    self._is_over = True
                    raise StudyError(f"{self._law(error)} (after {waited:.0f} s)") from error
                if waited >= NOTICE_S and not said:
                    said = True
                    self.tell(f"waiting for {self._shown}: {_first_line(error)}")
                time.sleep(_PAUSE_S)
            else:
                if said:
                    self.tell(
                        f"{self._shown} answers again, after {time.monotonic() - began:.0f} s; nothing was lost"
                    )
                return result

    def _law(self, error: BaseException) -> str:
        return (
            f"the database of a study must take what is written, got {_first_line(error)!r} of {self._shown}; end what "
            "holds it and run the same command again: the study goes on where it stood"
        )


class PatientStorage(RDBStorage):
    """Optuna's storage in a database, with retries.

    Args:
        url: SQLAlchemy URL of the database.
        patience: Retries each call.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        self.patience = patience
        wait = {"connect_args": {"timeout": _SQLITE_S}} if url.startswith("sqlite") else {}
        super().__init__(url, engine_kwargs=wait)


def _with_patience(name: str) -> Callable[..., Any]:
    method = getattr(RDBStorage, name)

    @functools.wraps(method)
    def patient(self: PatientStorage, *terms: Any, **more: Any) -> Any:
        return self.patience(lambda: method(self, *terms, **more))

    return patient


for _name in _METHODS:
    setattr(PatientStorage, _name, _with_patience(_name))


def open_database(url: str) -> Any:
    """Opens the storage of studies in a database.

    Raises:
        StudyError: The database is locked for too long.
        SQLAlchemyError: It does not answer.
    """
    patience = Patience(without_password(url))
    return optuna.storages.get_storage(patience(lambda: PatientStorage(url, patience), opens=True))


def without_password(url: str) -> str:
    """Returns a database's address without its password."""
    return re.sub(r"://([^:/@]+):[^@]+@", r"://\1:***@", url)


def _is_held(error: BaseException) -> bool:
    """Returns whether a call failed temporarily: SQLite was locked, or a server was away."""
    cause = _operational(error)
    # SQLite's other operational errors, such as a full disk or a missing table, are permanent.
    return cause is not None and (_is_locked(error) or "sqlite" not in type(cause.orig).__module__)


def _is_locked(error: BaseException) -> bool:
    cause = _operational(error)
    return cause is not None and "is locked" in str(cause.orig)


def _operational(error: BaseException) -> OperationalError | None:
    cause = error if isinstance(error, OperationalError) else error.__cause__
    return cause if isinstance(cause, OperationalError) else None


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
