"""Which parameters matter, and a line for each trial through its parameters to its objective."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.analysis.importance.parameters import LEVEL, StudyImportance
from thalweg.console.analyses.importance_view import footnote, verdict
from thalweg.reporting.blocks import Block, Chapter, Prose, ReportTable, Row, words
from thalweg.reporting.drawing.figures import picture
from thalweg.reporting.drawing.parallel_coordinates import parallel_coordinates
from thalweg.reporting.material import Material


def parameter_chapter(material: Material) -> Chapter:
    """Returns the importance of parameters with its uncertainty, and parallel coordinates."""
    blocks: list[Block] = []
    if material.importance is None:
        blocks.append(Prose(f"Importance is not estimated: {material.unweighed}."))
    else:
        blocks += _importance(material.importance, material.name)
    lines = parallel_coordinates(material.record, material.parameters, material.domains)
    return Chapter("parameters", "Parameters", [*blocks, *([lines] if lines is not None else [])])


def _importance(found: StudyImportance, study: str) -> Iterator[Block]:
    from thalweg.analysis.importance.importance_picture import figure  # matplotlib

    said = verdict(found)
    yield Prose(f"{said[0].upper() if not found.shown else said[0]}{said[1:]}.")
    rows = []
    for each in found.parameters:
        low, high = each.interval
        reach = f"[{max(0.0, low):.2f}, {min(1.0, max(0.0, high)):.2f}]"
        shown = "matters" if each.name in found.shown else "not shown"
        rows.append(
            Row(words([each.name, shown, f"{max(0.0, each.importance):.2f}", reach, f"{each.num_trials:,}"]))
        )
    yield ReportTable(
        heads=["parameter", "", "importance", f"{LEVEL:.0%} interval", "trials"],
        rows=rows,
        caption=f"Share of the differences between trials, in ranks, that goes with each parameter. {footnote(found)}.",
        num_words=2,
    )
    yield picture(
        "importance",
        figure(found, study),
        "The same as a picture: a dot with its interval for each parameter; grey: not shown to matter.",
    )
