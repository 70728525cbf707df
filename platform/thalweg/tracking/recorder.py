"""Records a study in MLflow without ever holding it up."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from thalweg.events import Event, StudyStarted
from thalweg.tracking.address import DEFAULT_TRACKING_URI, resolve_uri
from thalweg.tracking.quiet import PATIENCE, QUIET, environment
from thalweg.tracking.spool import LOG, Moment, Spool

MOST_STARTS = 4
CLOSE = b"close\n"


class MLflowRecorder:
    """Records a study's events in MLflow.

    `handle` puts an event into a queue. A thread writes it into the spool in the study's folder, and a
    process of its own delivers the spool to MLflow, however long MLflow needs or is away. What has not
    arrived when the study ends waits in the spool and is delivered when the study is continued. Nothing is recorded
    of a study that never started.

    Args:
        tracking_uri: MLflow's address, as `check_tracking` accepts it.
        notify: Called from a thread with a sentence for people, when MLflow does not answer or answers again.
    """

    def __init__(
        self, tracking_uri: str = DEFAULT_TRACKING_URI, *, notify: Callable[[str], None] | None = None
    ) -> None:
        self.tracking_uri = resolve_uri(tracking_uri)
        self._notify = notify or (lambda text: None)
        self._queue: queue.SimpleQueue[Moment | None] = queue.SimpleQueue()
        self._spool: Spool | None = None
        self._unwritten: list[str] = []
        self._num_taken = self._num_spooled = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._num_starts = 0
        self._told_unwritable = False
        self._thread = threading.Thread(target=self._write, name="mlflow-spool", daemon=True)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Takes one event; returns at once."""
        self._num_taken += 1
        self._queue.put(Moment(int(time.time() * 1000), event))

    def close(self, timeout: float = 60.0) -> None:
        """Waits until MLflow has everything, for ``timeout`` seconds at most; tells what it has not."""
        deadline = time.monotonic() + timeout
        self._queue.put(None)
        self._thread.join(timeout)
        if self._process is not None:
            _await(self._process, deadline)
        if self._listener is not None:
            self._listener.join(1.0)
        num = self.num_undelivered
        if num and self._spool is not None:
            self._notify(
                f"MLflow at {self.tracking_uri} has not received {num} events of this study; "
                f"they wait in {self._spool.path} and are delivered when the study is continued"
            )
        elif num and self._told_unwritable:
            self._notify(f"MLflow at {self.tracking_uri} will not receive {num} events of this study")

    @property
    def num_undelivered(self) -> int:
        """Number of events that MLflow has not received."""
        return self._num_taken - self._num_spooled + (self._spool.num_waiting() if self._spool else 0)

    def _write(self) -> None:
        """Writes events into the spool and wakes the delivering process, until `close`."""
        closing = False
        while not closing:
            moments = [self._queue.get()]
            while not self._queue.empty():
                moments.append(self._queue.get())
            closing = None in moments
            self._spool_out([moment for moment in moments if moment is not None])
        if self._spool is not None:
            self._wake(CLOSE)

    def _spool_out(self, moments: list[Moment]) -> None:
        try:
            for moment in moments:
                self._unwritten += self._line(moment)
                if isinstance(moment.event, StudyStarted) and self._spool is None:
                    self._spool = Spool.begin(Path(moment.event.directory).absolute(), moment.time_ms)
            if self._spool is None:
                return
            self._spool.append(self._unwritten)
        except OSError as error:
            if not self._told_unwritable:
                self._notify(f"the study's folder must be writable, got {error}; the record waits in memory")
            self._told_unwritable = True
            return
        self._num_spooled += len(self._unwritten)
        self._unwritten, self._told_unwritable = [], False
        self._wake(b"\n")

    def _line(self, moment: Moment) -> list[str]:
        try:
            return [moment.line()]
        except (TypeError, ValueError) as error:
            self._notify(f"an event must be JSON to be recorded, got {moment.event}: {error}")
            self._num_spooled += 1
            return []

    def _wake(self, word: bytes) -> None:
        """Tells the delivering process that there is work; starts it where it is not running."""
        if self._process is None or self._process.poll() is not None:
            if self._num_starts == MOST_STARTS:
                return
            self._num_starts += 1
            try:
                self._process = self._start()
            except OSError as error:
                self._notify(f"MLflow's record waits, for no process can be started: {error}")
                return
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died just now; the next word starts another
            self._process.stdin.write(word)
        if word == CLOSE:
            self._process.stdin.close()

    def _start(self) -> subprocess.Popen[bytes]:
        assert self._spool is not None
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        command = [sys.executable, "-P", "-m", "thalweg.tracking.deliver"]
        command += [str(self._spool.folder), str(self._spool.session), self.tracking_uri]
        with (self._spool.folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=environment(QUIET, PATIENCE),
                start_new_session=True,  # Ctrl-C in the terminal is for the driver alone
            )
        self._listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._listener.start()
        return process

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                try:
                    text = json.loads(line)
                except ValueError:  # something that MLflow printed
                    continue
                self._notify(str(text))


def _await(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Waits for the delivering process; what it has not delivered by then stays in the spool."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
