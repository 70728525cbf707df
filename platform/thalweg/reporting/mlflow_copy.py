"""The page of a report in MLflow, as an artifact of the study's run."""

from __future__ import annotations

from pathlib import Path

from thalweg.analysis.pictures import also_in_mlflow
from thalweg.reporting.report_files import ReportFiles
from thalweg.tracking import additions
from thalweg.tracking.address import SQLITE, file_identity


def store_page(files: ReportFiles, study: str, directory: Path, uri: str) -> str:
    """Stores the page of a report in MLflow; returns a sentence for people.

    Args:
        files: The report.
        study: Name of the study.
        directory: Its folder, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    if uri.startswith(SQLITE) and file_identity(uri) is None:  # a report makes no database
        return f"the page is not in MLflow, for there is no {uri}"
    known = additions.add_study_file(uri, study, directory, files.page)
    return "the page is in MLflow, too" if known else f"the page is {also_in_mlflow(False, uri)}"
