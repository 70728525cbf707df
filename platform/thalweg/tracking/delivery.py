"""The delivering process: reads a study's spool, sends it to MLflow, and goes on if the driver is killed.

Started as ``python -m thalweg.tracking.delivery FOLDER SESSION URI``. Importing MLflow takes seconds and stops the
other threads of its process for up to 0.2 s at a time, and each trial takes it 0.1 s of processor time. In a process
of its own that costs the driver nothing. A newline on standard input means that the spool has grown, ``close`` that
the driver is done, and the end of the input without it that the driver is gone. Sentences for people go to
standard output, one JSON string a line.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.files import locked
from thalweg.lines import append
from thalweg.tracking.address import artifact_folder, file_identity
from thalweg.tracking.history import History
from thalweg.tracking.spool import DeliveryState, Moment, Spool

if TYPE_CHECKING:
    from thalweg.tracking.runs import StudyRuns

GATHER_S = 0.5  # events of this time go out together
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 15.0
GRACE_S = 10.0  # how long to wait for a server that does not answer, after the driver is done

_UNWRITABLE = (  # words of SQLite and of the system, which a server passes on
    "database or disk is full",
    "disk I/O error",
    "database is locked",
    "database table is locked",
    "readonly database",
    "unable to open database file",
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EROFS)),
)
_log = logging.getLogger("thalweg.tracking.delivery")


class RunsLost(Exception):
    """Runs that the state names are no longer in MLflow."""


class Delivery:
    """Delivers one spool to one tracking address.

    Args:
        spool: What is delivered.
        uri: MLflow's address.
    """

    def __init__(self, spool: Spool, uri: str) -> None:
        self._spool = spool
        self._uri = uri
        self._state = DeliveryState()
        self._runs: StudyRuns | None = None
        self._silent = False
        self._pause_s = FIRST_PAUSE_S
        self._file: tuple[int, int] | None = None

    def run(self) -> None:
        """Delivers until the driver is done or gone, and then until everything has arrived or `GRACE_S` is over."""
        deadline = float("inf")
        driver = _Driver()
        while True:
            before = time.monotonic()
            delivered = self._deliver()
            if driver.done or driver.gone:
                deadline = min(deadline, before + GRACE_S)
                if delivered or time.monotonic() > deadline:
                    break
            if delivered:
                driver.wait(None)
                if not driver.done:
                    time.sleep(GATHER_S)
            else:
                time.sleep(min(self._pause_s, GATHER_S) if driver.done or driver.gone else self._pause_s)
                driver.wait(0.0)
        if delivered:
            self._finish()

    def _deliver(self) -> bool:
        """Delivers what the spool holds; False if MLflow does not answer."""
        if self._runs is not None and file_identity(self._uri) != self._file:
            _begin_again()
        try:
            runs = self._runs = self._runs or self._connect()
            while True:
                lines, session, offset = self._spool.read(self._state)
                if not lines:
                    break
                self._apply(runs, lines)
                self._state.session, self._state.offset = session, offset
                self._state.save(self._spool.state_path)
        except Exception as error:
            self._fail(error)
            return False
        if self._silent:
            _tell("the MLflow server answers again; everything has been delivered")
        self._silent, self._pause_s = False, FIRST_PAUSE_S
        return True

    def _connect(self) -> StudyRuns:
        from thalweg.tracking.client import connect
        from thalweg.tracking.runs import StudyRuns

        client, state = connect(self._uri), DeliveryState.load(self._spool.state_path)
        self._state = state
        state.settle(self._spool.folder)
        runs = StudyRuns(client, state, artifact_folder(self._uri), History(self._spool.moments))
        if state.uri != self._uri or not runs.known.exist():
            state.restart(self._uri)  # every event of the study is delivered again
        state.save(self._spool.state_path)
        self._file = file_identity(self._uri)
        return runs

    def _apply(self, runs: StudyRuns, lines: list[bytes]) -> None:
        """Applies lines together; if MLflow refuses one, applies them singly, so that the others arrive."""
        moments = [moment for line in lines if (moment := self._parse(line)) is not None]
        if self._try(runs, moments) is None:
            return
        for moment in moments:
            # twice: the server may have come back between the failure and the check that it answers
            if self._try(runs, [moment]) and (error := self._try(runs, [moment])):
                self._keep_refused(moment.line(), error)

    def _try(self, runs: StudyRuns, moments: list[Moment]) -> Exception | None:
        """Applies moments; returns why MLflow refuses them, and raises if it takes nothing at present."""
        try:
            runs.apply(moments)
        except Exception as error:
            if _unwritable(error):
                raise
            runs.check()
            if not runs.known.exist():
                raise RunsLost("runs of this study are gone from MLflow and are written anew") from error
            return error
        return None

    def _parse(self, line: bytes) -> Moment | None:
        try:
            return Moment.parse(line) if line.strip() else None
        except ValueError as error:
            self._keep_refused(line.decode(errors="replace"), error)
            return None

    def _keep_refused(self, line: str, error: Exception) -> None:
        _log.error("refused: %s", line[:500], exc_info=error)
        append(self._spool.names.mlflow_refused, f"{line}\n".encode())
        _tell(
            f"MLflow refuses an event, which is kept in {self._spool.names.mlflow_refused}: {_brief(error)}"
        )

    def _fail(self, error: Exception) -> None:
        _log.warning("not delivered", exc_info=error)
        self._runs = None  # part of it may have been applied: read again from the state and from MLflow
        if isinstance(error, RunsLost):
            _tell(str(error))
        elif not self._silent:
            _tell(
                f"MLflow at {self._uri} does not answer ({_brief(error)}); the search goes on, "
                f"its record waits in {self._spool.path}"
            )
        self._silent = not isinstance(error, RunsLost)
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)

    def _finish(self) -> None:
        """Ends the runs that still count as running."""
        try:
            if self._runs is not None:
                self._runs.interrupt(int(time.time() * 1000))
            self._state.save(self._spool.state_path)
        except Exception as error:
            self._fail(error)


class _Driver:
    """What the driver says on standard input."""

    def __init__(self) -> None:
        self.done = False
        self.gone = False

    def wait(self, seconds: float | None) -> None:
        """Waits for a word, for ever if seconds is None."""
        if self.done or self.gone or not select.select([0], [], [], seconds)[0]:
            return
        words = os.read(0, 65536)
        self.done = b"close" in words
        self.gone = not words


def _unwritable(error: BaseException) -> str:
    """Returns what an error says if MLflow cannot be written at present, which is no fault of an event."""
    link: BaseException | None = error
    while link is not None:
        if found := next((words for words in _UNWRITABLE if words in str(link)), ""):
            return found
        link = link.__cause__ or link.__context__
    return ""


def _begin_again() -> None:
    """Restarts in the same process: MLflow's open connections would go on writing into a file that was deleted."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "thalweg.tracking.delivery", *sys.argv[1:]])


def _brief(error: Exception) -> str:
    return _unwritable(error) or str(error).partition("\n")[0][:200] or type(error).__name__


def _tell(text: str) -> None:
    try:
        print(json.dumps(text), flush=True)
    except BrokenPipeError:  # the driver is gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def main() -> None:
    """Waits for the folder's lock, then delivers: only one process at a time may deliver a folder's spool."""
    spool, uri = Spool(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    os.nice(5)
    with locked(spool.names.mlflow_lock):
        Delivery(spool, uri).run()


if __name__ == "__main__":
    main()
