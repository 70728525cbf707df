"""The importance of a study's parameters as a table, with what it says and what it does not."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.importance.parameters import LEVEL, StudyImportance
from thalweg.console.tables import plain_table
from thalweg.wording import counted, some

_WEAK = 0.2
"""A forest that explains less of trials that it has not seen says little of any parameter."""


def show_importance(study: str, importance: StudyImportance, console: Console) -> None:
    """Prints the parameters, the most important one first, and what is shown."""
    console.print("", Text(f"{study}  importance of parameters", style="bold"), "", sep="\n")
    console.print(_table(importance), "", sep="\n")
    console.print(Text(verdict(importance), style="bold"))
    console.print(Text(footnote(importance), style="dim"))


def verdict(importance: StudyImportance) -> str:
    """Returns which parameters are shown to matter."""
    shown = importance.shown
    others = len(importance.parameters) - len(shown)
    if not shown:
        return "no parameter is shown to matter"
    verb = "matters" if len(shown) == 1 else "matter"
    rest = f"; {counted(others, 'parameter')} {'is' if others == 1 else 'are'} not shown to" if others else ""
    return f"{', '.join(shown)} {verb}{rest}"


def footnote(importance: StudyImportance) -> str:
    """Returns what was counted, how well it is explained, and what an importance is not."""
    counts = [counted(importance.num_complete, "complete trial")]
    if importance.num_stopped:
        counts.append(f"{importance.num_stopped} stopped early, which rank behind them")
    weak = ", little" if importance.explained < _WEAK else ""
    parts = [
        " and ".join(counts),
        f"a forest explains {max(0.0, importance.explained):.0%} of ranks that it has not seen{weak}",
        f"intervals over halves of the trials, {LEVEL:.0%} for all parameters together",
    ]
    if importance.fixed:
        parts.append(f"one value in all trials: {some(importance.fixed)}")
    return "; ".join([*parts, "in the ranges that were searched"])


def _table(importance: StudyImportance) -> RenderableType:
    table = plain_table()
    table.add_column("parameter", style="cyan")
    for name in ("importance", "interval", "trials"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for each in importance.parameters:
        low, high = each.interval
        table.add_row(
            each.name,
            f"{max(0.0, each.importance):.2f}",
            f"[{max(0.0, low):.2f}, {min(1.0, max(0.0, high)):.2f}]",
            str(each.num_trials),
            "matters" if each.name in importance.shown else "not shown",
        )
    return table
