"""Views of a running search: a live one for terminals, and one line per event for logs and pipes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from thalweg.analysis.progress import Standing
from thalweg.console.formatting import clock
from thalweg.console.frame import Frame
from thalweg.console.notices import compared, sentences, whereabouts
from thalweg.events import BaselineEvaluated, Event, Notice, StudyEnded, StudyStarted, TrialProgress
from thalweg.search.store.records import TrialRecord

REFRESHES_PER_SECOND = 2
NUM_LINES = 6
QUIET_S = 120  # seconds without a line after which the plain view writes how far the search is


class PlainView:
    """Writes a line for each event that matters to people, and a sign of life after a long silence.

    Args:
        console: Where to write.
        earlier: Trials of earlier sessions of the study.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        console: Console,
        earlier: Sequence[TrialRecord] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self.standing = Standing(earlier, clock)
        self._said = 0.0
        self._lock = threading.RLock()  # MLflow's notices come from a thread; Ctrl-C interrupts anywhere

    def _say(self, text: str) -> None:
        with self._lock:
            stamp = f"[{clock(self.standing.elapsed):>7}] "
            self._console.print(stamp + text, markup=False, highlight=False, soft_wrap=True)
            self._said = self.standing.elapsed

    def handle(self, event: Event) -> None:
        """Shows an event."""
        with self._lock:
            new_best = self.standing.observe(event)
            best = self.standing.best
            against = f" {compared(self.standing, best.value)}" if new_best and best is not None else ""
            for text in sentences(event, self.standing, new_best):
                self._say((text.plain + against).rstrip())
            if isinstance(event, TrialProgress) and self.standing.elapsed - self._said >= QUIET_S:
                self._say(whereabouts(self.standing))

    def close(self) -> None:
        """Does nothing: every line has been written."""


class LiveView:
    """Redraws one frame twice a second: progress, best trial, running trials, and the last few lines.

    Args:
        console: A terminal.
        earlier: Trials of earlier sessions of the study.
    """

    def __init__(self, console: Console, earlier: Sequence[TrialRecord] = ()) -> None:
        self.standing = Standing(earlier)
        self._lines: deque[tuple[float, Text]] = deque(maxlen=NUM_LINES)
        self._last_words: list[Text] = []
        self._lock = threading.RLock()  # MLflow's notices come from a thread; Ctrl-C interrupts anywhere
        self._spinner = Spinner("dots", speed=0.5)
        self._live = Live(
            self,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,  # the leaderboard takes its place
            redirect_stdout=True,
            redirect_stderr=True,
        )
        self._live.start()

    def handle(self, event: Event) -> None:
        """Shows an event."""
        with self._lock:
            new_best = self.standing.observe(event)
            if isinstance(event, BaselineEvaluated | StudyStarted | StudyEnded):
                return  # the frame shows them all the time
            for text in sentences(event, self.standing, new_best):
                self._lines.append((self.standing.elapsed, text))
                if isinstance(event, Notice) and self.standing.ended is not None:
                    self._last_words.append(text)

    def close(self) -> None:
        """Removes the frame, and prints the notices that came after the end."""
        self._live.stop()
        for text in self._last_words:
            self._live.console.print(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Renders the frame for the console's present size."""
        with self._lock:
            yield Frame(self.standing, tuple(self._lines), self._spinner).render(options)


def make_view(
    console: Console, earlier: Sequence[TrialRecord] = (), *, plain: bool = False
) -> LiveView | PlainView:
    """Returns the live view on a terminal, unless ``plain`` is set; else the plain one."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainView(console, earlier)
    return LiveView(console, earlier)
