"""A self-contained HTML page on a data set."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

_TEMPLATE = Path(__file__).with_name("page.html")


def page(
    texts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    notes: Sequence[str],
    coverage: bytes,
    pictures: Mapping[str, bytes],
) -> str:
    """Returns the page.

    Args:
        texts: Plain text for the places ``title``, ``summary``, ``origin`` and ``gaps_text``.
        tables: Tables for the places ``variables``, ``splits`` and ``gaps``.
        notes: Sentences on the data.
        coverage: Picture of the days, as PNG.
        pictures: A picture of each variable, as PNG.
    """
    places = {name: html.escape(text) for name, text in texts.items()}
    places |= {name: _table(table) for name, table in tables.items()}
    places["notes"] = "".join(f"<li>{html.escape(note)}</li>" for note in notes) or "<li>none</li>"
    places["coverage"] = _uri(coverage)
    places["pictures"] = "\n".join(
        f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3>\n'
        f'<img class="chart" alt="Maps and seasonal cycle of {html.escape(name)}" src="{_uri(picture)}">'
        for name, picture in pictures.items()
    )
    head, *rest = _TEMPLATE.read_text().split("{{")  # a text may itself hold braces
    return head + "".join(places[name] + tail for name, _, tail in (part.partition("}}") for part in rest))


def _table(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    return str(table.to_html(index=False, border=0, float_format=lambda value: f"{value:.5g}", na_rep="-"))


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
