"""What a report is made of: chapters of paragraphs, lists, tables, pictures and commands, without any markup.

Text between backticks is code. Both pages of a report, HTML and Markdown, are written from these blocks, so that they
hold the same words and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone = Literal["plain", "good", "bad", "note"]
"""How a paragraph is to be read: as it is, as good or bad news, or as small print."""


@dataclass(frozen=True)
class Prose:
    """A paragraph.

    Attributes:
        text: Its text.
        tone: How it is to be read.
    """

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Attributes:
        text: Its text.
        mark: `WIN`, `LOSS` or `TIE` beside the best baseline, of `thalweg.analysis.comparison`; empty for none.
    """

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: Its cells, as many as the table has columns.
        kind: Empty for a usual row.
    """

    cells: Sequence[TableCell]
    kind: Literal["", "best", "baseline"] = ""


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """A table.

    Attributes:
        heads: Heads of the columns, with units.
        rows: Its rows.
        caption: What is seen.
        num_words: Columns from the left that hold words; the others hold numbers.
    """

    heads: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    num_words: int = 1

    @property
    def has_marks(self) -> bool:
        """Whether some cells have marks, for which the others keep room."""
        return any(cell.mark for row in self.rows for cell in row.cells)


@dataclass(frozen=True, kw_only=True)
class ReportPicture:
    """A picture.

    Attributes:
        name: Name of its file, with the suffix ``.svg`` or ``.png``.
        content: The file.
        caption: What is seen.
        inline: Whether an SVG stands in the HTML itself, where lines under the pointer can be shown.
    """

    name: str
    content: bytes
    caption: str
    inline: bool = False

    @property
    def kind(self) -> str:
        """Its media type."""
        return "image/svg+xml" if self.name.endswith(".svg") else "image/png"


@dataclass(frozen=True)
class CommandLines:
    """CommandLines that can be copied."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Facts by what they are."""

    items: Sequence[tuple[str, str]]


Block: TypeAlias = Prose | Bullets | ReportTable | ReportPicture | CommandLines | Facts


@dataclass(frozen=True)
class Chapter:
    """A chapter.

    Attributes:
        key: Its place in the page, a word.
        title: Its heading.
        blocks: What it holds.
    """

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A whole report.

    Attributes:
        title: The study.
        subtitle: What it is, on one line.
        chapters: Its chapters, in order.
        written: When and by which version it was written.
    """

    title: str
    subtitle: str
    chapters: Sequence[Chapter]
    written: str

    @property
    def pictures(self) -> list[ReportPicture]:
        """All pictures, in order."""
        return [block for each in self.chapters for block in each.blocks if isinstance(block, ReportPicture)]


def words(texts: Sequence[str]) -> list[TableCell]:
    """Returns cells without marks."""
    return [TableCell(text) for text in texts]
