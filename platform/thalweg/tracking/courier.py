"""Starts the delivering process, wakes it, and restarts it if it died; never blocks the caller."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from thalweg.tracking.environment import PATIENCE, QUIET, environment
from thalweg.tracking.spool import Spool

MAX_STARTS = 4
CLOSE = b"close\n"
_WAKE = b"\n"


class Courier:
    """Delivers a spool to MLflow, in a separate process.

    A thread starts that process: on a machine under load or a slow file system this takes seconds, and the spool
    must go on growing meanwhile. The process is never killed, for it may be making a database. It ends by itself once
    the driver is done and MLflow has everything or does not answer.

    Args:
        spool: What is to be delivered.
        uri: MLflow's address.
        tell: Called from threads with sentences for people.
    """

    def __init__(self, spool: Spool, uri: str, tell: Callable[[str], None]) -> None:
        self._spool = spool
        self._uri = uri
        self._tell = tell
        self._words: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._num_starts = 0
        self._thread = threading.Thread(target=self._work, name="mlflow-courier", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Process id of the delivering process; None before it runs."""
        return self._process.pid if self._process is not None else None

    def wake(self) -> None:
        """Says that the spool has grown; returns at once."""
        self._words.put(_WAKE)

    def close(self) -> None:
        """Says that the spool will not grow any more; returns at once."""
        self._words.put(CLOSE)

    def wait(self, deadline: float) -> bool:
        """Waits for the end of the delivering process; returns whether it ended in time."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            return False
        if self._listener is not None:
            self._listener.join(1.0)
        return True

    def _work(self) -> None:
        word = b""
        while word != CLOSE:
            word = self._words.get()
            self._say(word)
        # One that was ended just now may have taken the last words with it.
        while self._process is not None and self._process.wait() != 0 and self._num_starts < MAX_STARTS:
            self._say(CLOSE)

    def _say(self, word: bytes) -> None:
        if self._process is None or self._process.poll() is not None:
            if self._num_starts == MAX_STARTS:
                return
            self._num_starts += 1
            try:
                self._process = self._start()
            except OSError as error:
                self._tell(f"MLflow's record waits, for no process can be started: {error}")
                return
        assert self._process.stdin is not None
        # Either it has just died, and the next word starts another; or its pipe is full, and it is awake anyway.
        with suppress(BrokenPipeError, BlockingIOError):
            self._process.stdin.write(word)
        if word == CLOSE:
            self._process.stdin.close()  # says the same if the pipe is full

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        command = [sys.executable, "-P", "-m", "thalweg.tracking.delivery"]
        command += [str(self._spool.folder), str(self._spool.session), self._uri]
        with self._spool.names.mlflow_log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=environment(QUIET, PATIENCE),
                start_new_session=True,  # Ctrl-C in the terminal is for the driver alone
            )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
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
                self._tell(str(text))
