"""Groups of trials, one per line: mean, spread and cost of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from thalweg.analysis.groups import COSTS, Group, groups, stopped
from thalweg.analysis.paired import LEVEL, PairedDifference, differences
from thalweg.console.formatting import cost, score
from thalweg.console.tables import GAP, plain_table
from thalweg.search.store.records import StudyRecord
from thalweg.wording import counted

HEAD = "paired difference"


def render(record: StudyRecord, names: Sequence[str], others: Sequence[str], width: int) -> RenderableType:
    """Renders groups of trials, one per line; columns that do not fit into the width are left out.

    Args:
        record: The study.
        names: Parameters or knobs to group by.
        others: Further metrics whose mean is shown.
        width: Characters of a line.
    """
    columns = columns_of(record, names, others, width)
    table = plain_table()
    for place, head in enumerate(columns):
        is_key = place < len(names)
        table.add_column(
            head, justify="left" if is_key else "right", style="cyan" if is_key else "", no_wrap=True
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def columns_of(
    record: StudyRecord, names: Sequence[str], others: Sequence[str], width: int
) -> dict[str, list[str]]:
    """Returns the columns of a table of groups by their heads, the parameters first; see `render`."""
    found = groups(record, names)
    columns = {
        name.rpartition(".")[2]: [group.key[place] for group in found] for place, name in enumerate(names)
    }
    columns["trials"] = [str(len(group.trials)) for group in found]
    if any(group.num_stopped for group in found):
        columns["stopped"] = [str(group.num_stopped) for group in found]
    columns[str(record.definition["metric"])] = [
        score(group.mean) + ("" if group.spread is None else f" +- {score(group.spread)}") for group in found
    ]
    for name, column in (_paired(found) | _optional(found, others, record.mode)).items():
        if _width({**columns, name: column}) <= width:
            columns[name] = column
    return columns


def footnote(record: StudyRecord, names: Sequence[str]) -> str:
    """Returns what a table of groups shows, what it leaves out, and which groups differ from the first.

    Args:
        record: The study.
        names: Parameters or knobs to group by.
    """
    left = len(stopped(record))
    beside = f"; stopped, and in no mean: {counted(left, 'trial')} pruned or failed" if left else ""
    means = f"means over complete trials +- standard deviation{beside}"
    found = groups(record, names)
    paired = [
        (group, each) for group, each in zip(found, differences(found), strict=True) if each is not None
    ]
    if not paired:
        return means
    first = ", ".join(found[0].key)
    apart = [", ".join(group.key) for group, each in paired if each.is_shown]
    outcome = f"{'; '.join(apart)} {'differs' if len(apart) == 1 else 'differ'}" if apart else "none differs"
    return (
        f"{means}\n{HEAD}: difference from {first} over what both were tried with, such as seeds, and its "
        f"{100 * LEVEL:.0f} % interval by Student's t; one that holds 0 shows no difference: {outcome}"
    )


def _paired(found: Sequence[Group]) -> dict[str, list[str]]:
    """Returns the column of differences from the first group, if there are any."""
    made = differences(found)
    return {HEAD: list(map(_cell, made))} if any(made) else {}


def _cell(difference: PairedDifference | None) -> str:
    if difference is None:
        return ""
    low, high = difference.interval
    return f"{_signed(difference.mean)} [{_signed(low)}, {_signed(high)}]"


def _signed(value: float) -> str:
    return f"+{score(value)}" if value > 0 else score(value)


def _optional(found: Sequence[Group], others: Sequence[str], mode: str) -> dict[str, list[str]]:
    """Returns optional columns, the most important first: costs, extremes with the better one first, other metrics."""
    columns = {
        head: [cost(name, group.metric(name)) for group in found]
        for name, head in COSTS.items()
        if any(group.metric(name) is not None for group in found)
    }
    extremes = {
        "lowest": [score(min(group.values, default=None)) for group in found],
        "highest": [score(max(group.values, default=None)) for group in found],
    }
    for name in sorted(extremes, reverse=mode == "min"):
        columns[name] = extremes[name]
    return columns | {name: [score(group.metric(name)) for group in found] for name in others}


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(max(len(cell) for cell in (head, *cells)) + GAP for head, cells in columns.items())
