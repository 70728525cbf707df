"""A self-contained HTML page on a data set, for the `explore` of any family: sections of text, tables and pictures."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

_STYLE = """
  :root { --ink: #1c2430; --soft: #5b6675; --line: #d9dee6; --paper: #fff; }
  * { box-sizing: border-box; }
  body { margin: 0 auto; max-width: 1340px; padding: 24px; color: var(--ink); background: var(--paper);
         font: 15px/1.5 system-ui, sans-serif; }
  h1 { font-size: 24px; margin: 0 0 4px; }
  h2 { font-size: 17px; margin: 28px 0 8px; }
  h3 { font-size: 15px; margin: 22px 0 4px; }
  p, li { color: var(--soft); max-width: 90ch; }
  p { margin: 4px 0 12px; }
  ul { margin: 4px 0 12px; padding-left: 20px; }
  table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
  th, td { padding: 3px 14px 3px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
  th { font-weight: 600; }
  th:first-child, td:first-child { text-align: left; }
  .table { overflow: auto; max-height: 420px; display: block; width: fit-content; max-width: 100%; }
  img { max-width: 100%; }
"""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page; what it lacks is left out.

    Attributes:
        title: Its heading.
        text: A paragraph below it.
        notes: Sentences, as a list.
        table: A table.
        pictures: Pictures as PNG, by what they show.
        named: Pictures below a heading of their own, by name.
    """

    title: str
    text: str = ""
    notes: Sequence[str] = ()
    table: pd.DataFrame | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    named: Mapping[str, bytes] = field(default_factory=dict)


def page(title: str, paragraphs: Sequence[str], sections: Sequence[Section]) -> str:
    """Returns a page that needs no other file and no network.

    Args:
        title: Title and first heading, as plain text like all others.
        paragraphs: Paragraphs below it.
        sections: Parts of the page, in order.
    """
    name = html.escape(title)
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>",
    ]
    parts = [*head, *map(_paragraph, paragraphs), *map(_section, sections), "</body>\n</html>\n"]
    return "\n".join(filter(None, parts))


def table_html(table: pd.DataFrame, digits: int = 5) -> str:
    """Returns a table as HTML; an empty one is empty text."""
    if table.empty:
        return ""
    written = table.to_html(
        index=False, border=0, float_format=lambda value: f"{value:.{digits}g}", na_rep="-"
    )
    return str(written)


def data_uri(png: bytes) -> str:
    """Returns a picture as the text by which a page holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _section(section: Section) -> str:
    table = "" if section.table is None else table_html(section.table)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in section.notes)
    named = [
        f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3>\n{_picture(f"{section.title}: {name}", png)}'
        for name, png in section.named.items()
    ]
    parts = [
        f"\n<h2>{html.escape(section.title)}</h2>",
        _paragraph(section.text),
        f"<ul>{notes}</ul>" if notes else "",
        f'<div class="table">{table}</div>' if table else "",
        *(_picture(what, png) for what, png in section.pictures.items()),
        *named,
    ]
    return "\n".join(filter(None, parts))


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>" if text else ""


def _picture(what: str, png: bytes) -> str:
    return f'<img alt="{html.escape(what)}" src="{data_uri(png)}">'
