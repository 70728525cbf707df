"""Shared pieces of tables: their plain look, and the column of the best baselines beside those of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis.comparison import LOSS, TIE, WIN, Comparison
from thalweg.console.formatting import listed, score

GAP = 2
"""Blanks between columns."""
HEAD = "best baseline"
LEGEND = f"{WIN} better and {LOSS} worse than the best baseline by that metric"
_STYLES = {WIN: "green", LOSS: "yellow", TIE: "dim"}


class LiteralTable(Table):
    """A table whose texts stand as they are: ``lr [max]`` is a parameter and no style."""

    def add_column(self, header: RenderableType = "", *given: Any, **named: Any) -> None:
        """Adds a column."""
        super().add_column(_literal(header), *given, **named)

    def add_row(self, *cells: RenderableType | None, **named: Any) -> None:
        """Adds a row."""
        super().add_row(*(None if cell is None else _literal(cell) for cell in cells), **named)


def _literal(cell: RenderableType) -> RenderableType:
    return Text(cell) if isinstance(cell, str) else cell


def plain_table() -> Table:
    """Returns an empty table without lines."""
    return LiteralTable(box=None, padding=(0, GAP, 0, 0), header_style="bold")


def best_cell(comparison: Comparison, metric: str) -> Text:
    """Returns a cell with value and name of the best baseline by a metric."""
    best = comparison.best(metric)
    return Text("-" if best is None else f"{score(best.value)} {best.name}", style="dim")


def marked_cell(comparison: Comparison, metric: str, value: float | None, style: str = "") -> Text:
    """Returns a cell with a trial's value and its mark, aligned with values that have none."""
    best = comparison.best(metric)
    mark = "" if best is None else best.mark(value)
    if not comparison.baselines:
        return Text(score(value), style=style)
    return Text.assemble((score(value), style), " ", (mark or " ", _STYLES.get(mark, "")))


def metrics_table(
    head: str,
    values: Mapping[str, float],
    fit: Sequence[str],
    comparison: Comparison,
    earlier: Mapping[str, Mapping[str, float]] | None = None,
) -> RenderableType:
    """Lists the metrics of a trial: those that compare trials beside the best baselines, then the others.

    Args:
        head: Head of the column of values.
        values: The metrics, the objective among them.
        fit: Names of those that mean the same in each trial, the objective first.
        comparison: The baselines.
        earlier: Metrics at the end of earlier stages, by the stage's name, each in a column before that of the values.
    """
    known, before = bool(comparison.baselines), earlier or {}
    table = plain_table()
    table.add_column("metrics")
    for stage in before:
        table.add_column(f"after {stage}", justify="right", no_wrap=True)
    table.add_column(f"{head}{'  ' * known}", justify="right", no_wrap=True)
    if known:
        table.add_column(HEAD, no_wrap=True)
    for name in (fit[0], *(name for name in fit[1:] if name in values)):
        then = [score(metrics.get(name)) for metrics in before.values()]
        table.add_row(
            name, *then, marked_cell(comparison, name, values.get(name)), best_cell(comparison, name)
        )
    add_others(table, fit, [*before.values(), values])
    line = baselines_line(comparison)
    return table if line is None else Group(table, Text(LEGEND, style="dim"), line)


def add_others(table: Table, fit: Sequence[str], columns: Sequence[Mapping[str, float]]) -> None:
    """Adds rows of the metrics that compare no trials to a table.

    Args:
        table: The table.
        fit: Names of the metrics that do compare trials.
        columns: Metrics by name, for each column; the last one says which there are. Those with a slash in their names
            are costs, or were measured at the end of a stage.
    """
    own = [name for name in columns[-1] if name not in fit and "/" not in name]
    if own:
        table.add_row(Text("not comparable between trials", style="dim"))
    for name in own:
        cells = (Text(score(values.get(name)), style="dim") for values in columns)
        table.add_row(Text(name, style="dim"), *cells)


def baselines_line(comparison: Comparison) -> Text | None:
    """Returns a line with all baselines by the objective, the best first; None if there is none."""
    found = listed(comparison.ordered(comparison.objective))
    return Text(f"baselines by {comparison.objective}: {found}", style="dim") if found else None


def baselines_width(comparison: Comparison, metrics: Sequence[str]) -> int:
    """Returns the characters that the column of best baselines takes, 0 if there are none."""
    cells = [len(best_cell(comparison, metric)) for metric in metrics]
    return max(len(HEAD), *cells) if comparison.baselines and cells else 0
