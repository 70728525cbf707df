"""The schedules of a population as tables: which trial trained from where to where, and with what."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.lineage.schedules import Lineage, MemberSchedule
from thalweg.console.formatting import number, score
from thalweg.console.tables import plain_table
from thalweg.wording import counted

MAX_SCHEDULES = 4


def show_lineage(lineage: Lineage, console: Console) -> None:
    """Prints the schedules, the best first: a row for each segment, with the parameters that change."""
    head = f"{lineage.study}  {counted(len(lineage.schedules), 'schedule')}, the best first"
    console.print("", Text(head, style="bold"), sep="\n")
    for schedule in lineage.schedules[:MAX_SCHEDULES]:
        console.print("", *_told(lineage, schedule), sep="\n")
    left = len(lineage.schedules) - MAX_SCHEDULES
    more = f"{counted(left, 'more schedule')}: --trial N; " if left > 0 else ""
    told = f"{more}{counted(lineage.num_replaced, 'trial')} ended at a mark. "
    command = f"thalweg reproduce {lineage.study} --trial N trains a schedule again, segment by segment"
    console.print("", Text(f"{told}{command}", style="dim"), sep="\n")


def _told(lineage: Lineage, schedule: MemberSchedule) -> tuple[RenderableType, ...]:
    trial, last = schedule.trial, schedule.segments[-1].params
    title = Text.assemble((f"trial {trial.number}", "bold"), f"  {lineage.metric} {score(trial.value)}")
    kept = [f"{name}={number(value)}" for name, value in last.items() if name not in lineage.names]
    table = plain_table()
    table.add_column("samples", justify="right", no_wrap=True)
    table.add_column("trial", justify="right", style="cyan")
    table.add_column(lineage.metric, justify="right", no_wrap=True)
    for name in lineage.names:
        table.add_column(name, justify="right", no_wrap=True)
    for segment in schedule.segments:
        value = segment.curve[-1][1] if segment.curve else None
        values = (number(segment.params[name]) if name in segment.params else "-" for name in lineage.names)
        table.add_row(f"{segment.start:,} to {segment.end:,}", str(segment.trial), score(value), *values)
    stays = Text(f"stays as it is: {', '.join(kept)}", style="dim") if kept else Text("")
    return title, table, stays
