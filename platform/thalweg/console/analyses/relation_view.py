"""The relation of two metrics in words, and the settings that it stands on as a table."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.relation import LEVEL, MetricRelation
from thalweg.console.formatting import score
from thalweg.console.tables import plain_table
from thalweg.wording import counted

MAX_ROWS = 20


def show_relation(study: str, relation: MetricRelation, console: Console) -> None:
    """Prints the settings, the correlation with its interval, and what it says."""
    console.print("", Text(f"{study}  {' and '.join(relation.names)}", style="bold"), "", sep="\n")
    console.print(_table(relation), "", sep="\n")
    console.print(Text(sentence(relation), style="bold"), Text(verdict(relation)), sep="\n")
    console.print(Text(footnote(relation), style="dim"))


def sentence(relation: MetricRelation) -> str:
    """Returns the correlation with its interval and the number of settings."""
    low, high = relation.interval
    return (
        f"rank correlation {relation.correlation:.2f}, {100 * LEVEL:.0f} % interval [{low:.2f}, {high:.2f}], "
        f"{counted(len(relation.points), 'setting')}"
    )


def verdict(relation: MetricRelation) -> str:
    """Returns in words what the interval says, and what it does not."""
    first, second = relation.names
    if not relation.is_shown:
        return f"no relation is shown: the interval holds 0, {second} may rise or fall with {first}"
    rises = relation.correlation > 0
    words = f"the larger {first}, the {'larger' if rises else 'smaller'} {second}"
    if relation.same_sense is None:
        return words
    outcome = "better" if rises == relation.same_sense else "worse"
    return f"{words}: settings that are better by {first} are {outcome} by {second}"


def footnote(relation: MetricRelation) -> str:
    """Returns what was counted, and what a correlation is not."""
    parts = [
        f"{counted(relation.num_trials, 'complete trial')}; those that differ in the seed alone are one setting"
    ]
    if relation.num_left_out:
        parts.append(f"{counted(relation.num_left_out, 'trial')} without finite values left out")
    return "; ".join([*parts, "a correlation over what was searched, not a cause"])


def _table(relation: MetricRelation) -> RenderableType:
    points, last = relation.points, len(relation.points) - 1
    rows = min(len(points), MAX_ROWS)
    table = plain_table()
    table.add_column("trials", style="cyan")
    for name in relation.names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in range(rows):
        point = points[round(row * last / max(rows - 1, 1))]
        table.add_row(", ".join(map(str, point.trials)), *map(score, point.values))
    if rows < len(points):
        table.caption = f"{rows} of {len(points)} settings, evenly by {relation.names[0]}"
    return table
