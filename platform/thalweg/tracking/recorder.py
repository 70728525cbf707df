"""Records a study in MLflow without ever blocking it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from thalweg.events import Event, StudyStarted, TrialProgress
from thalweg.tracking.address import DEFAULT_TRACKING_URI, resolve_uri
from thalweg.tracking.courier import Courier
from thalweg.tracking.spool import Moment, Spool, set_aside_other

_HEAD_START_S = 30.0
"""Longest time that lanes have to start before the delivering process, which loads for seconds, takes a core."""


class MLflowRecorder:
    """Records a study's events in MLflow.

    `handle` puts an event into a queue. A thread writes it into the spool in the study's folder, and a
    separate process delivers the spool to MLflow, however long MLflow takes or does not answer. That process starts
    with the first evaluation of a trial, or after half a minute. Events that have not arrived when the study ends wait
    in the spool, and are delivered when the study is continued. A study that never started is not recorded.

    Args:
        tracking_uri: MLflow's address, as `check_tracking` accepts it.
        tell: Called from a thread with a sentence for people, when MLflow does not answer or answers again.
    """

    def __init__(
        self, tracking_uri: str = DEFAULT_TRACKING_URI, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self.tracking_uri = resolve_uri(tracking_uri)
        self._tell = tell or (lambda text: None)
        self._queue: queue.SimpleQueue[Moment | None] = queue.SimpleQueue()
        self._spool: Spool | None = None
        self._unwritten: list[str] = []
        self._num_taken = self._num_spooled = 0
        self._courier: Courier | None = None
        self._starts_at = 0.0  # of the courier, on the monotonic clock
        self._told_unwritable = False
        self._thread = threading.Thread(target=self._write, name="mlflow-spool", daemon=True)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Takes one event, and returns at once."""
        self._num_taken += 1
        self._queue.put(Moment(int(time.time() * 1000), event))

    def close(self, timeout: float = 60.0) -> None:
        """Waits until MLflow has everything, for ``timeout`` seconds at most; reports what is missing.

        The rest is still being delivered, in a process that outlives this one.
        """
        deadline = time.monotonic() + timeout
        ended = False
        try:
            self._queue.put(None)
            self._thread.join(timeout)
            ended = self._courier is None or self._courier.wait(deadline)
        finally:  # Ctrl-C ends the wait
            self._tell_missing(ended)

    def _tell_missing(self, ended: bool) -> None:
        num = self.num_undelivered
        if num and self._spool is not None:
            later = "" if ended else "still being delivered, or "
            self._tell(
                f"MLflow at {self.tracking_uri} has not received {num} events of this study; they are in "
                f"{self._spool.path}, {later}delivered when the study is continued"
            )
        elif num and self._told_unwritable:
            self._tell(f"MLflow at {self.tracking_uri} will not receive {num} events of this study")

    @property
    def num_undelivered(self) -> int:
        """Number of events that MLflow has not received."""
        return self._num_taken - self._num_spooled + (self._spool.num_waiting() if self._spool else 0)

    def _write(self) -> None:
        """Writes events into the spool and wakes the delivering process, until `close`."""
        closing = False
        while not closing:
            moments = self._taken()
            closing = None in moments
            self._spool_out([moment for moment in moments if moment is not None])
            self._deliver(at_once=closing)
        if self._courier is not None:
            self._courier.close()

    def _taken(self) -> list[Moment | None]:
        """Returns what is in the queue, as soon as there is something, or the delivering process is to start."""
        moments: list[Moment | None] = []
        waits = self._spool is not None and self._courier is None
        with suppress(queue.Empty):
            moments.append(self._queue.get(timeout=self._head_start_s() if waits else None))
        while not self._queue.empty():
            moments.append(self._queue.get())
        return moments

    def _head_start_s(self) -> float:
        return max(0.0, self._starts_at - time.monotonic())

    def _spool_out(self, moments: list[Moment]) -> None:
        try:
            for moment in moments:
                self._unwritten += self._line(moment)
                if isinstance(moment.event, StudyStarted) and self._spool is None:
                    self._spool = self._begin(moment.event, moment.time_ms)
                    self._starts_at = time.monotonic() + _HEAD_START_S
                elif isinstance(moment.event, TrialProgress):
                    self._starts_at = time.monotonic()
            if self._spool is None:
                return
            self._spool.append(self._unwritten)
        except OSError as error:
            if not self._told_unwritable:
                self._tell(f"the study's folder must be writable, got {error}; the record waits in memory")
            self._told_unwritable = True
            return
        self._num_spooled += len(self._unwritten)
        self._unwritten, self._told_unwritable = [], False

    def _deliver(self, *, at_once: bool) -> None:
        """Wakes the delivering process; starts it first if it is time."""
        if self._spool is None or not self._num_spooled:
            return
        if self._courier is None and (at_once or not self._head_start_s()):
            self._courier = Courier(self._spool, self.tracking_uri, self._tell)
        if self._courier is not None:
            self._courier.wake()

    def _begin(self, started: StudyStarted, time_ms: int) -> Spool:
        folder = Path(started.directory).absolute()
        if aside := set_aside_other(folder, started):
            self._tell(f"the MLflow record of another study in {folder} is set aside in {aside.name}")
        return Spool.begin(folder, time_ms)

    def _line(self, moment: Moment) -> list[str]:
        try:
            return [moment.line()]
        except (TypeError, ValueError) as error:
            self._tell(f"an event must be JSON to be recorded, got {moment.event}: {error}")
            self._num_spooled += 1
            return []
