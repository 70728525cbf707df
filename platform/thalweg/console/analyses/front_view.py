"""A Pareto front as a table: its trials, with the parameters in which they differ."""

from __future__ import annotations

import itertools

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.pareto.front import ParetoFront, values_of
from thalweg.console.formatting import cost, number, score
from thalweg.console.tables import GAP, plain_table
from thalweg.search.store.records import StudyRecord
from thalweg.study import COST
from thalweg.wording import counted

MAX_ROWS = 20
_NUMBER = 9
"""Letters of most numbers."""


def show_front(front: ParetoFront, record: StudyRecord, console: Console) -> None:
    """Prints the trials of a front, and how much of what is possible they dominate."""
    arrows = {"min": "less", "max": "more"}
    objectives = ", ".join(f"{name} (the {arrows[mode]} the better)" for name, mode in front.modes.items())
    console.print("", Text(f"{record.name}  Pareto front", style="bold"), Text(objectives), "", sep="\n")
    console.print(_table(front, record, console.width), "", sep="\n")
    console.print(Text(verdict(front), style="bold"), Text(footnote(front), style="dim"), sep="\n")


def verdict(front: ParetoFront) -> str:
    """Returns how many trials no other one beats in all objectives."""
    total = len(front.members) + len(front.others)
    if len(front.members) == 1:
        return f"trial {front.members[0].number} is best in all objectives, of {counted(total, 'complete trial')}"
    return f"{len(front.members)} of {counted(total, 'complete trial')} are beaten by none in all objectives"


def footnote(front: ParetoFront) -> str:
    """Returns the course of the hypervolume, and what was left out."""
    half = front.volumes[(len(front.volumes) - 1) // 2]
    parts = [
        f"hypervolume {front.volumes[-1][1]:.3f} of 1, {half[1]:.3f} after half of the trials",
        "of the box between the best and worst values of these trials",
    ]
    if front.num_left_out:
        parts.append(f"{counted(front.num_left_out, 'trial')} without finite values left out")
    if front.num_breaking:
        parts.append(f"{counted(front.num_breaking, 'trial')} beyond a constraint left out")
    return "; ".join(parts)


def _table(front: ParetoFront, record: StudyRecord, width: int) -> RenderableType:
    """Renders the front: objectives, and as many of the parameters that differ in it as there is room for."""
    names = [name for trial in front.members for name in trial.params]
    varied = [
        name
        for name in dict.fromkeys(names)
        if len({repr(trial.params.get(name)) for trial in front.members}) > 1
    ]
    room = width - sum(max(len(name), _NUMBER) + GAP for name in ("trial", *front.modes))
    ends = itertools.accumulate(max(len(name), _NUMBER) + GAP for name in varied)
    varied = varied[: sum(end <= room for end in ends)]
    table = plain_table()
    table.add_column("trial", style="cyan", justify="right", no_wrap=True)
    for name in (*front.modes, *varied):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in front.members[:MAX_ROWS]:
        values = zip(front.modes, values_of(record, trial, front.modes), strict=True)
        table.add_row(
            str(trial.number),
            *(cost(name, value) if name.startswith(COST) else score(value) for name, value in values),
            *(number(trial.params.get(name, "-")) for name in varied),
        )
    if len(front.members) > MAX_ROWS:
        table.caption = f"the first {MAX_ROWS} of {len(front.members)} trials of the front"
    return table
