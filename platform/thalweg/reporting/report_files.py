"""A report as files: the HTML page, its Markdown twin with the pictures beside it, and the table of trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thalweg.files import atomic_file, atomic_folder, writing
from thalweg.reporting.blocks import StudyReport
from thalweg.reporting.html_page import html
from thalweg.reporting.markdown_page import markdown

HTML, MARKDOWN, CSV, PICTURES = "report.html", "report.md", "trials.csv", "report_pictures"


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report.

    Attributes:
        folder: The folder that holds them.
    """

    folder: Path

    @property
    def page(self) -> Path:
        """The HTML page, which holds all of it."""
        return self.folder / HTML


def write_report(report: StudyReport, trials: str, folder: Path) -> ReportFiles:
    """Writes a report into a folder; what else lies there stays.

    Args:
        report: The report.
        trials: The table of its trials.
        folder: The folder, which is made if it is missing.

    Raises:
        OutputError: It cannot be written.
    """
    texts = {HTML: html(report), MARKDOWN: markdown(report, PICTURES), CSV: trials}
    with writing("the report", folder, "choose another with --to"):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder / PICTURES, overwrite=True) as draft:
            for picture in report.pictures:
                (draft / picture.name).write_bytes(picture.content)
        for name, text in texts.items():
            with atomic_file(folder / name) as draft:
                draft.write_text(text, encoding="utf-8")
    return ReportFiles(folder)
