"""A report as one HTML page that needs no other file, no network and no script.

The one script sorts tables. Jinja2 escapes all text; only pictures, which are made here, stand in the page as they are.
"""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.analysis.comparison import LOSS, TIE, WIN
from thalweg.reporting.blocks import ReportPicture, StudyReport

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "report_template.html"
SIGNS = {
    WIN: ("win", "+", "better than the best baseline"),
    LOSS: ("loss", "\u2212", "worse than the best baseline"),
    TIE: ("tie", "=", "the same as the best baseline"),
}
_CODE = re.compile(r"`([^`\n]+)`")
_XML_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'


def html(report: StudyReport) -> str:
    """Returns a report as HTML."""
    return _environment().get_template(TEMPLATE).render(report=report, signs=SIGNS)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"spans": _spans, "uri": _uri, "svg": _svg}
    return made


def _spans(text: str) -> list[tuple[str, bool]]:
    """Returns the parts of a text, each with whether it stood between backticks."""
    return [(part, bool(index % 2)) for index, part in enumerate(_CODE.split(text)) if part]


def _uri(picture: ReportPicture) -> str:
    return f"data:{picture.kind};base64,{base64.b64encode(picture.content).decode()}"


def _svg(picture: ReportPicture) -> str:
    """Returns an SVG as part of the page, which needs no namespace there."""
    return picture.content.decode().replace(_XML_NAMESPACE, "", 1)
