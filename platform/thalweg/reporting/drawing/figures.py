"""Figures of matplotlib as pictures of a report: SVG, the same bytes for the same numbers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from thalweg.reporting.blocks import ReportPicture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(name: str, figure: Figure, caption: str) -> ReportPicture:
    """Returns a figure as an SVG, which stays sharp in print.

    Args:
        name: Name of its file, without suffix.
        figure: The figure.
        caption: What is seen.
    """
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "thalweg"}):
        figure.savefig(file, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return ReportPicture(name=f"{name}.svg", content=file.getvalue(), caption=caption)
