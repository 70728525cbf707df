"""The cells of a grid over their seeds: means, spreads, and which differ from the best."""

from __future__ import annotations

from thalweg.analysis.next_steps import axes_of
from thalweg.console.group_table import columns_of, footnote
from thalweg.reporting.blocks import Chapter, Prose, ReportTable, Row, words
from thalweg.reporting.material import Material

_LETTERS = 130
"""Letters of a line that a page has room for."""


def grouped(material: Material) -> Chapter | None:
    """Returns the trials of a grid, grouped by its axes; None for a study that samples its parameters."""
    axes = [] if material.study is None else axes_of(material.study)
    if not axes or not material.ranking:
        return None
    columns = columns_of(material.record, axes, material.board.other_metrics(), _LETTERS)
    table = ReportTable(
        heads=list(columns),
        rows=[
            Row(words(row), "" if place else "best")
            for place, row in enumerate(zip(*columns.values(), strict=True))
        ],
        caption="The cells of the grid, best mean first.",
        num_words=len(axes),
    )
    notes = [Prose(line, "note") for line in footnote(material.record, axes).splitlines()]
    return Chapter("groups", "Groups", [table, *notes])
