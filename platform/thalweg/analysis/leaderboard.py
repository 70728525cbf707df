"""The end of a search: its best trials beside the baselines, how the others ended, where everything is."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis import groups
from thalweg.analysis.groups import COSTS, cost
from thalweg.analysis.narration import STYLES
from thalweg.analysis.wording import clock, counted, number, score
from thalweg.contract import Metric
from thalweg.discovery import load_family
from thalweg.search.records import StudyRecord, TrialRecord
from thalweg.training import baselines
from thalweg.training.orders import CHECKPOINTS

COLUMN = 11  # characters of a column with its padding
FEWEST_TRIALS = 3
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
        """Lays the board out: one column per trial and baseline, for parameters are many and names long."""
        trials = self.ranked()
        names = [self.objective, *self.kin(), "samples", *_params(trials)]
        room = width - max(map(len, names), default=0) - 2
        known = self._baselines_within(room - COLUMN * min(FEWEST_TRIALS, len(trials)))
        taken = sum(_column(name) for name, _ in known)
        trials = trials[: max(1, min(8, (room - taken) // COLUMN))]
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("", no_wrap=True)
        for place, trial in enumerate(trials, 1):
            table.add_column(f"trial {trial.number}", justify="right", style="bold" if place == 1 else "")
        for name, _ in known:
            table.add_column(name, justify="right", style="dim")
        self._fill(table, trials, [values for _, values in known])
        return Group(table, *self._beside(known), *self._endings())

    def _beside(self, shown: Sequence[tuple[str, Mapping[str, float]]]) -> list[RenderableType]:
        """Says which baselines had no room, and which ones no trial beats."""
        names = {name for name, _ in shown}
        others = [
            f"{name} {score(found.get(self.objective))}"
            for name, found in self.baselines.items()
            if name not in names
        ]
        lines: list[RenderableType] = [Text(f"also {', '.join(others)}", style="dim")] if others else []
        best = self.record.best()
        if best is not None:
            reached = self._loss({self.objective: best.value or 0.0})
            unbeaten = [name for name, found in self.baselines.items() if self._loss(found) <= reached]
            lines += [Text(f"no trial beats {', '.join(unbeaten)}", style="yellow")] if unbeaten else []
        return lines

    def _baselines_within(self, room: int) -> list[tuple[str, Mapping[str, float]]]:
        """Returns the baselines that fit into so many characters, the best first, and the best one at any rate."""
        ordered = sorted(self.baselines.items(), key=lambda item: self._loss(item[1]))
        ends = itertools.accumulate(_column(name) for name, _ in ordered)
        return ordered[: max(1, sum(end <= room for end in ends))]

    @property
    def objective(self) -> str:
        """Name of the metric that decides."""
        return str(self.record.definition["metric"])

    def _fill(
        self, table: Table, trials: Sequence[TrialRecord], baselines: Sequence[Mapping[str, float]]
    ) -> None:
        values = [score(trial.value) for trial in trials]
        others = [score(found.get(self.objective)) for found in baselines]
        table.add_row(Text(self.objective, style="bold"), *values, *others)
        for name in self.kin():
            row = [score(trial.metrics.get(name)) for trial in trials]
            table.add_row(name, *row, *(score(found.get(name)) for found in baselines))
        table.add_section()
        table.add_row("")
        if any(trial.status != "complete" for trial in trials):
            table.add_row("ended as", *(Text(trial.status, style=STYLES[trial.status]) for trial in trials))
        table.add_row("samples", *(number(trial.samples) for trial in trials))
        table.add_row("time", *(clock(trial.seconds) for trial in trials))
        for name, head in COSTS.items():
            if any(name in trial.metrics for trial in trials):
                table.add_row(head, *(cost(name, trial.metrics.get(name)) for trial in trials))
        table.add_row("")
        for name in _params(trials):
            row = [number(trial.params[name]) if name in trial.params else "-" for trial in trials]
            table.add_row(name, *row, style="cyan")

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


def _column(name: str) -> int:
    return max(COLUMN, len(name) + 2)


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
    family = load_family(str(record.definition["family"]).removeprefix("trainables."))
    return Leaderboard(
        record=record,
        baselines=baselines.read(folder / CHECKPOINTS) or {},
        metrics=family.task_type.metrics,
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
        console.print("", Text(groups.footnote(board.record), style="dim"), sep="\n")
    elif board.ranked() or any(_is_over(trial) for trial in board.record.trials):
        console.print(board.draw(console.width))
    else:
        console.print("no trial has ended yet")


def _is_over(trial: TrialRecord) -> bool:
    return trial.status in ("complete", "pruned", "failed") and not trial.interrupted


def _params(trials: Sequence[TrialRecord]) -> list[str]:
    """Names all parameters of trials in the order in which they were asked."""
    return list(dict.fromkeys(name for trial in trials for name in trial.params))
