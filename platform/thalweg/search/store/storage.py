"""The storage of a study: a journal file in its folder, or a database that a team shares.

One process at a time drives a study. It holds a kernel lock (``flock``), which is released when it dies.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from thalweg.errors import StudyError
from thalweg.files import LockHeld, lock, writing
from thalweg.search.store.journal import Journal, readable
from thalweg.study_folder import StudyFolder

if TYPE_CHECKING:  # reading a study must not wait for these imports
    import optuna
    from optuna.storages.journal import BaseJournalBackend, JournalStorage

RUNS = Path("thalweg_runs")
"""Default folder of all studies."""
_DRIVER = "driver"  # user attribute of a study in a database
_logger = logging.getLogger(__name__)


def output_flag(output: Path) -> str:
    """Returns the option ``--output`` with a leading blank, for a command to print; empty for the default folder."""
    return "" if output.absolute() == RUNS.absolute() else f" --output {shlex.quote(str(output))}"


class Claim:
    """The exclusive lock on driving a study.

    Attributes:
        owner: Process and host of the owner, for people.
        last_died: Whether the last owner died, as far as is known; trials that it left running then count as crashed.
    """

    def __init__(self, directory: Path) -> None:
        self.owner = f"process {os.getpid()} on {socket.gethostname()}"
        with ExitStack() as opened:  # closed if anything fails
            with writing("the folder of a study", directory, "choose another with --output"):
                directory.mkdir(parents=True, exist_ok=True)
                file = StudyFolder(directory).claim
                known = file.exists()
                handle = opened.enter_context(file.open("a+b", buffering=0))
                self.last_died = bool(_lock(handle, directory)) or not known
                handle.truncate(0)
                handle.write(f"{self.owner}\n".encode())
            opened.pop_all()
        self._handle = handle

    def release(self) -> None:
        """Releases the lock, so that another process may drive the study."""
        self._handle.close()

    def excuse(self) -> None:
        """Records that trials still stored as running were interrupted and did not crash; works on a full disk, too."""
        self._handle.truncate(0)


def _lock(handle: IO[bytes], directory: Path) -> bytes:
    """Takes a claim's lock, and returns the content that the last owner left in its file."""
    handle.seek(0)
    try:
        lock(handle, wait=False)
    except LockHeld:
        other = handle.read().decode(errors="replace").strip() or "another process"
        raise StudyError(
            f"one process at a time drives a study, got {directory}, which {other} drives; "
            "stop that one first, or give this study another name"
        ) from None
    return handle.read()


def is_driven(directory: Path) -> bool:
    """Returns whether a process drives a study at present, without claiming it."""
    try:
        with StudyFolder(directory).claim.open("rb") as handle:
            lock(handle, wait=False, shared=True)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class SharedClaim:
    """The claim on a study in a database, where no file lock can guard it.

    The study records its driver: host, process id and start time of the process. The claim of a process that has
    ended on this host is void; a process on another host cannot be checked.

    Args:
        study: The study in the database.
        take_over: Whether to take over from a process on another host, which the user knows is gone.

    Raises:
        StudyError: Another process drives the study.
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
        """Moves the claim to another study, which nobody drives."""
        self._study, pid = study, os.getpid()
        study.set_user_attr(_DRIVER, {"host": socket.gethostname(), "pid": pid, "began": _began(pid)})

    def release(self) -> None:
        """Releases the claim, so that another process may drive the study."""
        try:
            self._study.set_user_attr(_DRIVER, None)
        except Exception:  # the search may have ended because of the database
            _logger.warning("the claim on study %r stays in its database", self._study.study_name)


def open_storage(directory: Path, url: str | None) -> Any:
    """Opens the storage of a study.

    Args:
        directory: The study's folder, which holds the journal.
        url: SQLAlchemy URL of a database; None for the journal.

    Raises:
        StudyError: The database cannot be reached, or the journal cannot be read.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its INFO lines would tear the live display
    if url is None:
        return _open_journal(StudyFolder(directory).journal)
    from thalweg.search.store.database import open_database, without_password

    try:
        return open_database(url)
    except StudyError:
        raise
    except Exception as error:  # SQLAlchemy and each database driver have their own exceptions
        shown = without_password(url)
        first = str(error).strip().partition("\n")[0]
        raise StudyError(f"the storage must be a database that answers, got {shown}: {first}") from error


def close_storage(storage: Any) -> None:
    """Closes the connections of a database; a journal is open only while it is used."""
    engine = getattr(getattr(storage, "_backend", None), "engine", None)
    if engine is not None:
        storage.remove_session()
        engine.dispose()


def skipped_lines(storage: Any) -> tuple[str, ...]:
    """Returns a sentence for each line of a journal that could not be read."""
    journal = getattr(storage, "_backend", None)
    return journal.skipped if isinstance(journal, Journal) else ()


def tell_waits(storage: Any, tell: Callable[[str], None]) -> None:
    """Makes a storage call `tell` with a sentence for people whenever it waits for its database."""
    from thalweg.search.store.database import PatientStorage

    backend = getattr(storage, "_backend", None)
    if isinstance(backend, PatientStorage):
        backend.patience.tell = tell


def _open_journal(file: Path) -> JournalStorage:
    from optuna.storages.journal import JournalStorage

    with readable(file):
        return JournalStorage(cast("BaseJournalBackend", Journal(file)))


def _may_live(driver: Mapping[str, Any]) -> bool:
    return bool(driver["host"] != socket.gethostname() or driver["began"] == _began(driver["pid"]))


def _began(pid: int) -> str | None:
    """Returns the start time of a process of this machine, in ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5); the second field may hold blanks
