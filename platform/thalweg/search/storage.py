"""Where a study lives: a journal file in its folder, or a database that a team shares.

One process at a time drives a study. Its claim is locked by the kernel (``flock``), which lets go when it dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from thalweg.errors import OutputError, StudyError
from thalweg.search.journal import Journal

if TYPE_CHECKING:  # what only looks at a study waits for neither
    import optuna
    from optuna.storages.journal import BaseJournalBackend, JournalStorage

JOURNAL = "journal.log"
RUNS = Path("thalweg_runs")
"""Folder of all studies where no other is named."""
_CLAIM = "driver.lock"
_DRIVER = "driver"  # user attribute of a study in a database
_logger = logging.getLogger(__name__)


def output_flag(output: Path) -> str:
    """Returns what a command needs to find the studies of a folder, with a blank before it; empty for the usual one."""
    return "" if output.absolute() == RUNS.absolute() else f" --output {shlex.quote(str(output))}"


class Claim:
    """The right to drive a study, which one process at a time has.

    Attributes:
        owner: Who has it, for people.
        last_died: Whether trials that the last owner left running took it down, for all that is known.
    """

    def __init__(self, directory: Path) -> None:
        self.owner = f"process {os.getpid()} on {socket.gethostname()}"
        with ExitStack() as opened:  # closed if anything fails
            try:
                directory.mkdir(parents=True, exist_ok=True)
                known = (directory / _CLAIM).exists()
                handle = opened.enter_context((directory / _CLAIM).open("a+b", buffering=0))
                self.last_died = bool(_lock(handle, directory)) or not known
                handle.truncate(0)
                handle.write(f"{self.owner}\n".encode())
            except OSError as error:
                raise OutputError(
                    f"the folder of a study must be writable, got {directory}: {error.strerror}"
                ) from error
            opened.pop_all()
        self._handle = handle

    def release(self) -> None:
        """Lets another process drive the study."""
        self._handle.close()

    def excuse(self) -> None:
        """Says that trials which the storage holds as running were interrupted; this fits on a full disk."""
        self._handle.truncate(0)


def _lock(handle: IO[bytes], directory: Path) -> bytes:
    """Takes a claim's lock, and returns what the last owner left in its file."""
    handle.seek(0)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = handle.read().decode(errors="replace").strip() or "another process"
        raise StudyError(
            f"one process at a time drives a study, got {directory}, which {other} drives; "
            "stop that one first, or give this study another name"
        ) from None
    return handle.read()


def is_driven(directory: Path) -> bool:
    """Says whether a process drives a study now; asks without claiming it."""
    try:
        with (directory / _CLAIM).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class SharedClaim:
    """The right to drive a study in a database, which no lock of a file system guards.

    The study itself says who drives it: host, process and when that process began. A process of this
    host that is gone has lost the right; of one on another host nobody here can tell.

    Args:
        study: The study in the database.
        take_over: Whether to take the right from a process on another host, which the user knows is gone.

    Raises:
        StudyError: Somebody else drives the study.
    """

    def __init__(self, study: optuna.Study, *, take_over: bool = False) -> None:
        self._study = study
        other = study.user_attrs.get(_DRIVER)
        if other and _may_live(other) and not (take_over and other["host"] != socket.gethostname()):
            raise StudyError(
                f"one process at a time drives a study, got {study.study_name!r}, which process "
                f"{other['pid']} on {other['host']} drives; stop that one first, or take over if it is gone"
            )
        self.move(study)

    def move(self, study: optuna.Study) -> None:
        """Takes the right to another study, which nobody drives."""
        self._study, pid = study, os.getpid()
        study.set_user_attr(_DRIVER, {"host": socket.gethostname(), "pid": pid, "began": _began(pid)})

    def release(self) -> None:
        """Lets another process drive the study."""
        try:
            self._study.set_user_attr(_DRIVER, None)
        except Exception:  # the database may be what ended the search
            _logger.warning("the claim on study %r stays in its database", self._study.study_name)


def open_storage(directory: Path, url: str | None) -> Any:
    """Opens the storage of a study.

    Args:
        directory: The study's folder, which holds the journal.
        url: A database instead, in SQLAlchemy's form; None for the journal.

    Raises:
        StudyError: The database cannot be reached, or the journal cannot be read.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its INFO lines would tear the live display
    if url is None:
        return _open_journal(directory / JOURNAL)
    from thalweg.search.database import open_database, without_password

    try:
        return open_database(url)
    except StudyError:
        raise
    except Exception as error:  # SQLAlchemy and each database driver have trees of their own
        shown = without_password(url)
        first = str(error).strip().partition("\n")[0]
        raise StudyError(f"the storage must be a database that answers, got {shown}: {first}") from error


def close_storage(storage: Any) -> None:
    """Closes the connections of a database; a journal is open only while it is used."""
    engine = getattr(getattr(storage, "_backend", None), "engine", None)
    if engine is not None:
        storage.remove_session()
        engine.dispose()


def losses(storage: Any) -> tuple[str, ...]:
    """Returns what could not be read of a journal, a sentence for each line."""
    journal = getattr(storage, "_backend", None)
    return journal.losses if isinstance(journal, Journal) else ()


def tell_waits(storage: Any, tell: Callable[[str], None]) -> None:
    """Lets somebody hear when a database is waited for."""
    from thalweg.search.database import PatientStorage

    backend = getattr(storage, "_backend", None)
    if isinstance(backend, PatientStorage):
        backend.patience.tell = tell


def _open_journal(file: Path) -> JournalStorage:
    from optuna.storages.journal import JournalStorage

    try:
        return JournalStorage(cast("BaseJournalBackend", Journal(file)))
    except (ValueError, KeyError, AssertionError) as error:
        raise StudyError(
            f"a journal must hold one JSON document per line, got {file}: {error}; "
            "restore the file, or give the study another name"
        ) from error
    except OSError as error:
        raise OutputError(f"a journal must be readable and writable, got {file}: {error.strerror}") from None


def _may_live(driver: Mapping[str, Any]) -> bool:
    return bool(driver["host"] != socket.gethostname() or driver["began"] == _began(driver["pid"]))


def _began(pid: int) -> str | None:
    """Returns when a process of this machine began, in ticks since boot; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5); the second one may hold blanks
