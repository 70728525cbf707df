"""The Pareto front of a study that names further objectives."""

from __future__ import annotations

from thalweg.analysis.pareto.front import front_of, values_of
from thalweg.console.analyses.front_view import footnote, verdict
from thalweg.console.formatting import cost, score
from thalweg.errors import StudyError
from thalweg.reporting.blocks import Chapter, Prose, ReportTable, Row, words
from thalweg.reporting.drawing.figures import picture
from thalweg.reporting.material import Material
from thalweg.study import COST

MAX_ROWS = 50


def own_front(material: Material) -> Chapter | None:
    """Returns the trials that no other one beats in all objectives; None for a study with one objective."""
    record = material.record
    if not record.also:
        return None
    try:
        front = front_of(record, [*record.also])
    except StudyError as error:
        return Chapter("front", "Pareto front", [Prose(f"There is no front yet: {error}.")])
    from thalweg.analysis.pareto.front_picture import figure  # matplotlib

    rows = []
    for trial in front.members[:MAX_ROWS]:
        values = zip(front.modes, values_of(record, trial, front.modes), strict=True)
        told = (cost(name, value) if name.startswith(COST) else score(value) for name, value in values)
        rows.append(Row(words([str(trial.number), *told])))
    arrows = {"min": "less is better", "max": "more is better"}
    said = verdict(front)
    return Chapter(
        "front",
        "Pareto front",
        [
            Prose(f"{said[0].upper()}{said[1:]}."),
            ReportTable(
                heads=["trial", *(f"{name} ({arrows[mode]})" for name, mode in front.modes.items())],
                rows=rows,
                caption=f"The first {len(rows)} of {len(front.members)} trials of the front. {footnote(front)}.",
            ),
            picture(
                "front",
                figure(front, record),
                f"The trials by {material.objective} and each further objective, those of the front in colour and with "
                "their numbers; right: the share of the volume that they dominate, as trials came.",
            ),
        ],
    )
