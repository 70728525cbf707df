"""A report as Markdown, in the flavour that GitHub, GitLab and editors show; its pictures are files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import assert_never
from urllib.parse import quote

from thalweg.analysis.comparison import LOSS, TIE, WIN
from thalweg.reporting.blocks import (
    Block,
    Bullets,
    CommandLines,
    Facts,
    Prose,
    ReportPicture,
    ReportTable,
    Row,
    StudyReport,
    TableCell,
)

MARKS = {WIN: " (+)", LOSS: " (-)", TIE: " (=)", "": ""}
_SPECIAL = re.compile(r"([\\*\[\]|~])")
_CODE = re.compile(r"(`[^`\n]+`)")


def markdown(report: StudyReport, pictures: str) -> str:
    """Returns a report as Markdown.

    Args:
        report: The report.
        pictures: Folder of the pictures, relative to the page.
    """
    parts = [f"# {escaped(report.title)}", escaped(report.subtitle)]
    for chapter in report.chapters:
        parts.append(f"## {escaped(chapter.title)}")
        parts += [text for block in chapter.blocks if (text := _block(block, pictures))]
    return "\n\n".join([*parts, "---", f"*{escaped(report.written)}*"]) + "\n"


def escaped(text: str) -> str:
    """Returns text that Markdown shows as it is, but for code between backticks."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"^([#+-]|\d+\.)(?=\s)", r"\\\1", _SPECIAL.sub(r"\\\1", text).replace("`", "\\`"))


def _block(block: Block, pictures: str) -> str:
    match block:
        case Prose(text, tone):
            return {"good": f"> {escaped(text)}", "bad": f"> {escaped(text)}"}.get(tone, escaped(text))
        case Bullets(items):
            return "\n".join(f"- {escaped(item)}" for item in items)
        case ReportTable():
            return _table(block)
        case ReportPicture():
            caption = escaped(block.caption)
            return f"![{caption}]({quote(f'{pictures}/{block.name}')})\n\n*{caption}*"
        case CommandLines(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}\n{text}\n{fence}"
        case Facts(items):
            return "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in items)
    assert_never(block)


def _table(table: ReportTable) -> str:
    if not table.rows:
        return ""
    rules = [":--" if place < table.num_words else "--:" for place in range(len(table.heads))]
    lines = [_line([escaped(head) for head in table.heads]), _line(rules), *map(_row, table.rows)]
    return "\n".join([*lines, *(["", f"*{escaped(table.caption)}*"] if table.caption else [])])


def _row(row: Row) -> str:
    around = {"best": "**", "baseline": "*", "": ""}[row.kind]
    return _line([_cell(cell, around) for cell in row.cells])


def _cell(cell: TableCell, around: str) -> str:
    text = escaped(cell.text)
    return f"{around}{text}{around}{MARKS[cell.mark]}" if text else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
