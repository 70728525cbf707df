"""Cells of tables that show things side by side: values of settings, and tables that fit the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis.side_by_side.knob_differences import ABSENT, KnobDifference, is_same
from thalweg.console.formatting import number
from thalweg.console.tables import GAP, plain_table

MIN_ROOM = 12
"""Characters that a value has at least."""
NO_VALUE = "-"
_DIGITS = (4, 8, 12, 17)  # with the last, no two numbers look the same


def setting(value: Any, digits: int = 4) -> str:
    """Writes the value of a setting; None and one that is absent look different."""
    if value is ABSENT:
        return NO_VALUE
    if value is None:
        return "none"
    if value == "":
        return "''"
    if isinstance(value, list | tuple):
        return f"[{', '.join(setting(item, digits) for item in value)}]"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={setting(item, digits)}" for name, item in value.items())
    return number(value, digits)


def clipped(text: str, room: int) -> str:
    """Cuts text that is longer than the room."""
    return text if len(text) <= room else f"{text[: room - 3]}..."


def settings_table(
    head: str, columns: Sequence[str], rows: Sequence[KnobDifference], width: int
) -> RenderableType:
    """Renders settings, one per line, with a column for each thing that has them; those that are the same are dim.

    Args:
        head: What they are settings of.
        columns: Names of these things.
        rows: The settings.
        width: Characters of a line; values that are too long are cut.
    """
    longest = max(map(len, [head, *(row.name for row in rows)]))
    room = max(MIN_ROOM, (width - longest - GAP * (len(columns) + 1)) // len(columns))
    lines: list[list[str | Text]] = [
        [row.name, *(Text(clipped(cell, room), style=_style(row)) for cell in _cells(row))] for row in rows
    ]
    return fitted([head], columns, lines, width)


def _cells(row: KnobDifference) -> list[str]:
    """Writes the values of a setting with as many digits as it takes to tell them apart."""
    cells: list[str] = []
    for digits in _DIGITS:
        cells = [setting(value, digits) for value in row.values]
        if _is_same_everywhere(row) or len(set(cells)) > 1:
            break
    return cells


def _style(row: KnobDifference) -> str:
    return "dim" if _is_same_everywhere(row) else ""


def _is_same_everywhere(row: KnobDifference) -> bool:
    return all(is_same(row.values[0], value) for value in row.values)


def fitted(
    heads: Sequence[str],
    columns: Sequence[str],
    lines: Sequence[Sequence[str | Text]],
    width: int,
    *,
    justify: Literal["left", "right"] = "left",
) -> RenderableType:
    """Renders a table whose columns go on below it if the line is too short for all of them.

    Args:
        heads: Heads of the first columns, which say what a line is of and are repeated.
        columns: Heads of the others.
        lines: Cells of the lines, as many as both.
        width: Characters of a line.
        justify: Side to which the other columns are aligned.
    """
    sizes = [
        max(*map(len, head.split("\n")), *(len(line[place]) for line in lines)) + GAP
        for place, head in enumerate([*heads, *columns])
    ]
    room = width - sum(sizes[: len(heads)])
    blocks: list[list[int]] = [[]]
    for place in range(len(heads), len(sizes)):
        if blocks[-1] and sum(sizes[each] for each in (*blocks[-1], place)) > room:
            blocks.append([])
        blocks[-1].append(place)
    fixed = list(range(len(heads)))
    tables = [_table([*heads, *columns], lines, [*fixed, *block], len(heads), justify) for block in blocks]
    parts: list[RenderableType] = []
    for table in tables:
        parts += ["", table] if parts else [table]
    return Group(*parts)


def _table(
    heads: Sequence[str],
    lines: Sequence[Sequence[str | Text]],
    places: Sequence[int],
    num_fixed: int,
    justify: Literal["left", "right"],
) -> Table:
    table = plain_table()
    for place in places:
        head = Text(heads[place])  # as it is: brackets in names are no markup
        if place < num_fixed:
            table.add_column(head, style="dim" if place else "cyan", no_wrap=True)
        else:
            table.add_column(head, justify=justify, no_wrap=True)
    for line in lines:
        cells = (line[place] for place in places)
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table
