"""Where a study lives: a journal file in its folder, or a database that a team shares.

The journal is locked by the kernel (``flock``), which lets go when a process dies: Optuna's own lock files
outlive ``kill -9`` and stall the next run for 30 s. A line that a dying process left half written is cut
off before the journal is read.
"""

import fcntl
import logging
import os
import re
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

from thalweg.errors import OutputError, StudyError

JOURNAL = "journal.log"
RUNS = Path("thalweg_runs")
"""Folder of all studies where no other is named."""
_CLAIM = "driver.lock"
_DRIVER = "driver"  # user attribute of a study in a database
_logger = logging.getLogger(__name__)


def output_flag(output: Path) -> str:
    """Returns what a command needs to find the studies of a folder, with a blank before it; empty for the usual one."""
    return "" if output.absolute() == RUNS.absolute() else f" --output {shlex.quote(str(output))}"


class KernelLock(JournalFileOpenLock):
    """Lets one process at a time append to a journal.

    Args:
        file: The journal itself, so that nothing else is left lying beside it.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._file = file
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Waits until nobody else appends."""
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._handle = handle
        return True

    def release(self) -> None:
        """Lets the next one append."""
        assert self._handle is not None
        os.close(self._handle)  # closing gives the lock back
        self._handle = None


class Claim:
    """The right to drive a study, which one process at a time has.

    Attributes:
        owner: Who has it, for people.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._handle: IO[str] = (directory / _CLAIM).open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"the folder of a study must be writable, got {directory}: {error.strerror}"
            ) from None
        self.owner = f"process {os.getpid()} on {socket.gethostname()}"
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._handle.seek(0)
            other = self._handle.read().strip() or "another process"
            self._handle.close()
            raise StudyError(
                f"one process at a time drives a study, got {directory}, which {other} drives; "
                "stop that one first, or give this study another name"
            ) from None
        self._handle.truncate(0)
        self._handle.write(self.owner + "\n")
        self._handle.flush()

    def release(self) -> None:
        """Lets another process drive the study."""
        self._handle.close()


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
        pid = os.getpid()
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
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its INFO lines would tear the live display
    if url is None:
        return _open_journal(directory / JOURNAL)
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # SQLAlchemy and each database driver have trees of their own
        shown = re.sub(r"://([^:/@]+):[^@]+@", r"://\1:***@", url)
        first = str(error).strip().partition("\n")[0]
        raise StudyError(f"the storage must be a database that answers, got {shown}: {first}") from error


def close_storage(storage: Any) -> None:
    """Closes the connections of a database; a journal is open only while it is used."""
    engine = getattr(getattr(storage, "_backend", None), "engine", None)
    if engine is not None:
        storage.remove_session()
        engine.dispose()


def repair_journal(file: Path) -> int:
    """Cuts off a last line that a dying process left half written; returns how many bytes went."""
    if not file.exists():
        return 0
    with file.open("r+b") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        content = journal.read()
        whole = content.rfind(b"\n") + 1
        journal.truncate(whole)
    return len(content) - whole


def _open_journal(file: Path) -> JournalStorage:
    try:
        return JournalStorage(JournalFileBackend(str(file), lock_obj=KernelLock(file)))
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
