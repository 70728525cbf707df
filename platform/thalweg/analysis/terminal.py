"""Shows a running search in the terminal: a live view, or one line per event where nothing may be redrawn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from thalweg.analysis.narration import STYLES, compared, sentences, starting, time_left, whereabouts
from thalweg.analysis.standing import Running, Standing
from thalweg.analysis.wording import clock, counted, number, pairs, score, sparkline
from thalweg.events import BaselineEvaluated, Event, Notice, StudyEnded, StudyStarted, TrialProgress
from thalweg.search.records import TrialRecord

REFRESHES_PER_SECOND = 2
NUM_LINES = 6
QUIET_S = 120  # after so long a log hears how far the search is
WIDE = 110  # columns from which the parameters of running trials are shown


class PlainView:
    """Writes a line when something happens that matters to people, or long nothing did, for logs and pipes.

    Args:
        console: Where to write.
        earlier: Trials of earlier sessions of the study.
        clock: Seconds that only rise.
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
        """Takes one event."""
        with self._lock:
            new_best = self.standing.observe(event)
            best = self.standing.best
            against = f" {compared(self.standing, best.value)}" if new_best and best is not None else ""
            for text in sentences(event, self.standing, new_best):
                self._say((text.plain + against).rstrip())
            if isinstance(event, TrialProgress) and self.standing.elapsed - self._said >= QUIET_S:
                self._say(whereabouts(self.standing))

    def close(self) -> None:
        """Has nothing left to write."""


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
        """Takes one event."""
        with self._lock:
            new_best = self.standing.observe(event)
            if isinstance(event, BaselineEvaluated | StudyStarted | StudyEnded):
                return  # the frame shows them all the time
            for text in sentences(event, self.standing, new_best):
                self._lines.append((self.standing.elapsed, text))
                if isinstance(event, Notice) and self.standing.ended is not None:
                    self._last_words.append(text)

    def close(self) -> None:
        """Takes the frame away, and leaves what was said after the end."""
        self._live.stop()
        for text in self._last_words:
            self._live.console.print(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draws the frame for the console's present size."""
        with self._lock:
            yield Frame(self.standing, tuple(self._lines), self._spinner).draw(options)


class Frame:
    """One picture of a search.

    Args:
        standing: Where the search stands.
        lines: The last few lines with the seconds at which they were said.
        spinner: Turns while there is nothing to count.
    """

    def __init__(
        self, standing: Standing, lines: Sequence[tuple[float, Text]], spinner: Spinner | None = None
    ) -> None:
        self._standing = standing
        self._lines = lines
        self._spinner = spinner or Spinner("dots")

    def draw(self, options: ConsoleOptions) -> RenderableType:
        """Lays the picture out for a width."""
        study = self._standing.study
        width = options.max_width - 4
        parts: list[RenderableType] = [self._progress()]
        if study is not None:
            parts += ["", self._best()]
        if self._standing.running and self._standing.any_trained:
            room = max(3, options.max_height - 22)
            parts += ["", self._running(width, room, options.ascii_only)]
        elif phase := self._phase():
            self._spinner.update(text=Text(phase, style="cyan"))
            parts += ["", self._spinner]
        if self._lines:
            parts += ["", self._last_lines()]
        title = "thalweg" if study is None else f"thalweg  {study.study}"
        return Panel(
            Group(*parts),
            title=f"[bold]{title}[/]",
            title_align="left",
            subtitle="[dim]Ctrl-C stops; the same command continues[/]",
            subtitle_align="right",
            border_style="blue",
            padding=(0, 1),
        )

    def _progress(self) -> RenderableType:
        standing, study = self._standing, self._standing.study
        if study is None:
            return Text(f"elapsed {clock(standing.elapsed)}")
        head = Text.assemble(
            (study.metric, "bold"), f" ({study.mode})  ", f"{study.family}  ",
            f"{counted(study.num_trials, 'trial')} of at most {counted(study.samples, 'sample')}",
        )  # fmt: skip
        if study.num_lanes:
            workers = f" of {counted(study.num_workers, 'worker')}" if study.num_workers > 1 else ""
            head.append(f"  {counted(study.num_lanes, 'lane')}{workers}")
        share = standing.progress
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_row(
            ProgressBar(total=1.0, completed=share),
            Text(f"{share:4.0%}", style="bold"),
            Text(f"{clock(standing.elapsed)} elapsed{self._left()}"),
        )
        return Group(head, row, self._counts(study.num_trials))

    def _left(self) -> str:
        said = self._standing.ended.end if self._standing.ended is not None else time_left(self._standing)
        return f", {said}" if said else ""

    def _counts(self, num_trials: int) -> Text:
        counts = {"running": len(self._standing.running), **self._standing.counts}
        text = Text()
        for name, count in counts.items():
            text.append(f"{count} {name}", style=STYLES[name] if count else "dim")
            text.append("   ")
        waiting = max(0, num_trials - sum(counts.values()))
        return text.append(f"{waiting} to come", style="dim")

    def _best(self) -> RenderableType:
        standing, leader = self._standing, self._standing.leader()
        text = Text("best  ", style="bold green")
        params, value = "", None
        if standing.best is not None:
            value = standing.best.value
            text.append(f"{score(value)}", style="bold")
            text.append(f"  trial {standing.best.number}", style="default not bold")
            params = pairs(standing.best.params)
        elif leader is not None and standing.study is not None:
            share = leader.samples / standing.study.samples
            value = leader.curve[-1]
            text.append(f"{score(value)}", style="bold")
            text.append(f"  trial {leader.number}, still at {share:.0%} of its samples", "default not bold")
            params = pairs(leader.params)
        else:
            text.append("none yet", style="default not bold")
        against = compared(standing, value)
        if against:
            text.append(f"  {against}", style="default not bold")
        known = standing.known_baselines()
        below = [Text(params, style="green"), Text(f"beside {known}" if known else "", style="dim")]
        return Group(text, *(Padding(line, (0, 0, 0, 6)) for line in below if line))

    def _phase(self) -> str | None:
        standing, study = self._standing, self._standing.study
        if standing.ended is not None:
            return "handing the last records to MLflow"
        if study is None:
            return "starting Ray"
        if standing.any_trained or not study.num_lanes:
            return None
        return starting(study)

    def _running(self, width: int, room: int, ascii_only: bool) -> RenderableType:
        wide = width >= WIDE
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=wide)
        for name in ("trial", "budget", "samples", "value"):
            table.add_column(name, justify="left" if name == "budget" else "right", no_wrap=True)
        table.add_column("curve", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        if wide:
            table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
        trials = list(self._standing.running.values())
        for trial in trials[:room]:
            cells = self._cells(trial, ascii_only)
            table.add_row(*cells, *([pairs(trial.params)] if wide else []))
        hidden = len(trials) - room
        return Group(table, Text(f"and {hidden} more", style="dim")) if hidden > 0 else table

    def _cells(self, trial: Running, ascii_only: bool) -> list[RenderableType]:
        assert self._standing.study is not None
        study = self._standing.study
        curve = sparkline(trial.curve, 16, ascii_only=ascii_only)
        return [
            str(trial.number),
            ProgressBar(total=1.0, completed=trial.samples / study.samples, width=12),
            number(trial.samples),
            score(trial.curve[-1] if trial.curve else None),
            Text(curve.ljust(min(16, int(study.definition.get("num_evaluations", 8)))), style="cyan"),
            clock(self._standing.since(trial.began)),
        ]

    def _last_lines(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for seconds, text in self._lines:
            table.add_row(Text(clock(seconds), style="dim"), text)
        return table


def make_view(
    console: Console, earlier: Sequence[TrialRecord] = (), *, plain: bool = False
) -> LiveView | PlainView:
    """Returns the live view on a terminal, the plain one elsewhere and where it is asked for."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainView(console, earlier)
    return LiveView(console, earlier)
