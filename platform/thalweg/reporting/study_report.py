"""The report of a study: all of its chapters, in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version

from thalweg.analysis.pictures import literal_text
from thalweg.analysis.studies import space_name
from thalweg.reporting.blocks import Chapter, StudyReport
from thalweg.reporting.chapters.cost_chapter import cost_chapter
from thalweg.reporting.chapters.course import course, early_stopping, pictures_chapter
from thalweg.reporting.chapters.findings import better, findings
from thalweg.reporting.chapters.grouped import grouped
from thalweg.reporting.chapters.own_front import own_front
from thalweg.reporting.chapters.parameter_chapter import parameter_chapter
from thalweg.reporting.chapters.protocol_chapter import protocol_chapter
from thalweg.reporting.chapters.question import question, searched
from thalweg.reporting.chapters.ranking import ranking
from thalweg.reporting.chapters.reproduction import reproduction
from thalweg.reporting.chapters.verdict_chapter import verdict_chapter
from thalweg.reporting.material import Material

_CHAPTERS: tuple[Callable[[Material], Chapter | None], ...] = (
    question,
    findings,
    searched,
    protocol_chapter,
    ranking,
    grouped,
    own_front,
    verdict_chapter,
    parameter_chapter,
    course,
    early_stopping,
    pictures_chapter,
    cost_chapter,
    reproduction,
)


def study_report(material: Material, now: datetime) -> StudyReport:
    """Returns the report of a study; ``now`` is when it is written, in local time."""
    record, summary = material.record, material.summary
    began = [trial.started for trial in record.trials if trial.started is not None]
    ended = [trial.ended for trial in record.trials if trial.ended is not None]
    days = [f"{day:%-d %B %Y}" for day in (min(began), max(ended))] if began and ended else []
    when = " to ".join(dict.fromkeys(days))
    parts = [
        f"{material.objective} ({better(material)})",
        f"{summary.num_ended} of {summary.num_trials} trials, {summary.state}",
        f"search space {space_name(record)}",
        when,
    ]
    with literal_text():
        chapters = [made for chapter in _CHAPTERS if (made := chapter(material)) is not None]
    return StudyReport(
        title=record.name,
        subtitle=" \u00b7 ".join(filter(None, parts)),
        chapters=chapters,
        written=f"Written by Thalweg {version('thalweg')} on {now:%-d %B %Y, %H:%M}.",
    )
