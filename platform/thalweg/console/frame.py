"""A frame of the live view: progress, best trial, running trials, and the last few lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from thalweg.analysis.progress import Running, Standing
from thalweg.console.formatting import clock, listed, number, pairs, score, sparkline
from thalweg.console.notices import STYLES, asked_by, compared, outlook, starting, time_left
from thalweg.console.tables import LiteralTable
from thalweg.lanes import stages
from thalweg.study_folder import StudyFolder
from thalweg.wording import counted

_CLOCKS_S = 2.0  # by which the clock of a file system may lag behind
WIDE = 110  # columns from which the parameters of running trials are shown


class Frame:
    """A frame of the live view of a search.

    Args:
        standing: The standing of the search.
        lines: The last few lines, each with its time in seconds since the start.
        spinner: Turns while there is nothing to count.
    """

    def __init__(
        self, standing: Standing, lines: Sequence[tuple[float, Text]], spinner: Spinner | None = None
    ) -> None:
        self._standing = standing
        self._lines = lines
        self._spinner = spinner or Spinner("dots")

    def render(self, options: ConsoleOptions) -> RenderableType:
        """Renders the frame for a console's size."""
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
            (asked_by(study), "bold"), f"  {study.family}  ",
            f"{counted(study.num_trials, 'trial')} of at most {counted(study.samples, 'sample')}",
        )  # fmt: skip
        if study.num_lanes:
            workers = f" of {counted(study.num_workers, 'worker')}" if study.num_workers > 1 else ""
            head.append(f"  {counted(study.num_lanes, 'lane')}{workers}")
        if options := study.tags.get("options"):
            head.append(f"  {options}", style="dim")
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
        waiting = max(0, num_trials - sum(counts.values()))
        if self._standing.num_interrupted:  # they are to come again, under other numbers
            counts["interrupted"] = self._standing.num_interrupted
        text = Text()
        for name, count in counts.items():
            text.append(f"{count} {name}", style=STYLES[name] if count else "dim")
            text.append("   ")
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
        known = listed(standing.known_baselines())
        expected = outlook(standing)
        below = [Text(params, style="green"), Text(f"beside {known}" if known else "", style="dim")]
        below.append(Text(expected, style="dim"))
        return Group(text, *(Padding(line, (0, 0, 0, 6)) for line in below if line))

    def _phase(self) -> str | None:
        standing, study = self._standing, self._standing.study
        if standing.ended is not None:
            return "handing the last records to MLflow"
        if study is None:
            return "starting Ray"
        if standing.any_trained or not study.num_lanes:
            return None
        began = time.time() - standing.elapsed - _CLOCKS_S
        return starting(study, stages.current(StudyFolder(Path(study.directory)).lanes, began))

    def _running(self, width: int, room: int, ascii_only: bool) -> RenderableType:
        wide = width >= WIDE
        table = LiteralTable(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=wide)
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
