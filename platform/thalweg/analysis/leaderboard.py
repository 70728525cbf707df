"""The end of a search: its best trials beside the baselines, how the others ended, where everything is."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis import groups
from thalweg.analysis.beside import HEAD, LEGEND, Beside
from thalweg.analysis.declared import declared
from thalweg.analysis.groups import COSTS, cost
from thalweg.analysis.narration import STYLES
from thalweg.analysis.wording import clock, counted, number, score
from thalweg.contract import Metric
from thalweg.search.records import StudyRecord, TrialRecord
from thalweg.training import baselines
from thalweg.training.orders import CHECKPOINTS

GAP = 2
MOST_TRIALS = 8
MOST_METRICS = 10


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """What a study found.

    Attributes:
        record: The study.
        baselines: Metrics of each baseline.
        metrics: What the family declares; the objective and its kin are shown.
    """

    record: StudyRecord
    baselines: Mapping[str, Mapping[str, float]]
    metrics: Sequence[Metric] = ()

    def ranked(self) -> list[TrialRecord]:
        """Returns the complete trials, best first, then the pruned ones that came furthest."""
        sign = 1.0 if self.record.mode == "min" else -1.0
        pruned = [
            trial for trial in self.record.trials if trial.status == "pruned" and trial.value is not None
        ]
        pruned.sort(key=lambda trial: (-trial.samples, sign * (trial.value or 0.0)))
        return self.record.ranking() + pruned

    def draw(self, width: int) -> RenderableType:
        """Lays the board out: one column per trial, for parameters are many, and one for the best baselines."""
        trials = self.ranked()
        shown = [self.objective, *self.kin()]
        names = [*shown, "samples", *_params(trials)]
        taken = self._beside.width(shown)
        room = width - max(map(len, names), default=0) - GAP - (taken + GAP if taken else 0)
        ends = itertools.accumulate(self._width(trial, shown) for trial in trials[:MOST_TRIALS])
        trials = trials[: max(1, sum(end <= room for end in ends))]
        table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
        table.add_column("", no_wrap=True)
        for place, trial in enumerate(trials, 1):
            mark = "  " if taken else ""  # heads stand above the numbers, not above the marks
            style = "bold" if place == 1 else ""
            table.add_column(f"trial {trial.number}{mark}", justify="right", style=style, no_wrap=True)
        if taken:
            table.add_column(HEAD, no_wrap=True)
        self._fill(table, trials)
        legend = [Text(LEGEND, style="dim")] if taken else []
        return Group(table, *legend, *self.beside(), *self._endings())

    def _width(self, trial: TrialRecord, shown: Sequence[str]) -> int:
        """Returns the characters of a trial's column with its padding."""
        blank = 2 if self.baselines else 0
        scores = [score(trial.metrics.get(name)) for name in shown] + [score(trial.value)]
        others = [number(value) for value in trial.params.values()]
        costs = [cost(name, trial.metrics.get(name)) for name in COSTS]
        plain = [trial.status, number(trial.samples), clock(trial.seconds), f"trial {trial.number}"]
        return max(map(len, [*scores, *others, *costs, *plain])) + blank + GAP

    def beside(self) -> list[RenderableType]:
        """Says how all baselines stand by the objective, and which of them no trial beats."""
        line = self._beside.line()
        lines: list[RenderableType] = [] if line is None else [line]
        best = self.record.best()
        if best is not None:
            reached = self._loss({self.objective: best.value or 0.0})
            ordered = self._beside.ordered(self.objective)
            unbeaten = [name for name in ordered if self._loss(self.baselines[name]) <= reached]
            lines += [Text(f"no trial beats {', '.join(unbeaten)}", style="yellow")] if unbeaten else []
        return lines

    @cached_property
    def _beside(self) -> Beside:
        return Beside(self.baselines, self.metrics, self.objective, self.record.mode)

    @property
    def objective(self) -> str:
        """Name of the metric that decides."""
        return str(self.record.definition["metric"])

    def _fill(self, table: Table, trials: Sequence[TrialRecord]) -> None:
        for name in (self.objective, *self.kin()):
            values = [trial.value if name == self.objective else trial.metrics.get(name) for trial in trials]
            cells = [self._beside.marked(name, value) for value in values]
            head = Text(name, style="bold" if name == self.objective else "")
            table.add_row(head, *cells, self._beside.cell(name))
        table.add_section()
        table.add_row("")
        self._fill_other(table, trials)

    def _fill_other(self, table: Table, trials: Sequence[TrialRecord]) -> None:
        """Lists what trials took and what they asked, under the numbers that are marked."""
        blank = "  " if self.baselines else ""
        if any(trial.status != "complete" for trial in trials):
            table.add_row(
                "ended as", *(Text(trial.status + blank, style=STYLES[trial.status]) for trial in trials)
            )
        table.add_row("samples", *(number(trial.samples) + blank for trial in trials))
        table.add_row("time", *(clock(trial.seconds) + blank for trial in trials))
        for name, head in COSTS.items():
            if any(name in trial.metrics for trial in trials):
                table.add_row(head, *(cost(name, trial.metrics.get(name)) + blank for trial in trials))
        table.add_row("")
        for name in _params(trials):
            row = [number(trial.params[name]) if name in trial.params else "-" for trial in trials]
            table.add_row(name, *(cell + blank for cell in row), style="cyan")

    def kin(self) -> list[str]:
        """Names the other search-invariant metrics that some trial has, first those of the objective's direction."""
        fit = [metric for metric in self.metrics if metric.search_invariant and metric.name != self.objective]
        fit.sort(key=lambda metric: metric.mode != self.record.mode)
        found = {name for trial in self.ranked() for name in trial.metrics}
        return [metric.name for metric in fit if metric.name in found][:MOST_METRICS]

    def _loss(self, metrics: Mapping[str, float]) -> float:
        value = metrics.get(self.objective, float("nan"))
        return value if self.record.mode == "min" else -value

    def _endings(self) -> list[RenderableType]:
        ended = [trial for trial in self.record.trials if _is_over(trial)]
        counts = Counter(trial.status for trial in ended)
        text = Text("\n")
        text.append(counted(len(ended), "trial") + ": ", style="bold")
        for status in ("complete", "pruned", "failed"):
            text.append(f"{counts[status]} {status}", style=STYLES[status] if counts[status] else "dim")
            text.append(", " if status != "failed" else "")
        if counts["pruned"]:
            used = [trial.samples for trial in ended if trial.status != "failed"]
            saved = 1 - sum(used) / (len(used) * int(self.record.definition["samples"]))
            text.append(f"; early stopping saved {saved:.0%} of samples")
        return [text, *(Text(f"  {line}", style="red") for line in reasons(ended))]


def reasons(trials: Sequence[TrialRecord]) -> list[str]:
    """Groups the reasons of failed trials that differ in numbers only, the most frequent first."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.status == "failed":
            groups.setdefault(re.sub(r"[-+]?\d[\d.,e+-]*", "#", trial.reason), []).append(trial)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [
        f"{counted(len(group), 'trial')} failed ({', '.join(f'{trial.number}' for trial in group[:8])}"
        f"{', ...' if len(group) > 8 else ''}): {group[0].reason}"
        for group in ordered
    ]


def guide(places: Mapping[str, str], commands: Mapping[str, str], console: Console) -> None:
    """Prints where everything is and what to type next, each on one line that can be copied.

    Args:
        places: What it is and where, such as ``{"study folder": "thalweg_runs/quickstart"}``.
        commands: What is to be had, and the command for it.
        console: Where to print.
    """
    for table, style in ((places, ""), (commands, "bold cyan")):
        console.print()
        width = max(map(len, table), default=0) + 2
        for name, text in table.items():
            console.print(Text.assemble((name.ljust(width), "dim"), (text, style)), soft_wrap=True)


def of_study(record: StudyRecord, folder: Path) -> Leaderboard:
    """Returns the leaderboard of a study whose folder holds its baselines."""
    return Leaderboard(
        record=record,
        baselines=baselines.read(folder / CHECKPOINTS) or {},
        metrics=declared(record),
    )


def show(board: Leaderboard, console: Console, by: Sequence[str] = ()) -> None:
    """Prints a leaderboard, or that there is nothing to show yet.

    Args:
        board: The leaderboard.
        console: Where to print.
        by: Parameters or knobs; where there are some, groups of trials are shown instead of single ones.

    Raises:
        StudyError: Trials cannot be grouped so.
    """
    title = Text(f"{board.record.name}  ", style="bold")
    title.append(f"{board.objective} ({board.record.mode})  {board.record.definition['space']}", "not bold")
    console.print("", title, "", sep="\n")
    if by:
        console.print(groups.draw(board.record, by, board.kin(), console.width))
        console.print("", Text(groups.footnote(board.record), style="dim"), *board.beside(), sep="\n")
    elif board.ranked() or any(_is_over(trial) for trial in board.record.trials):
        console.print(board.draw(console.width))
    else:
        console.print("no trial has ended yet")


def _is_over(trial: TrialRecord) -> bool:
    return trial.status in ("complete", "pruned", "failed") and not trial.interrupted


def _params(trials: Sequence[TrialRecord]) -> list[str]:
    """Names all parameters of trials in the order in which they were asked."""
    return list(dict.fromkeys(name for trial in trials for name in trial.params))
