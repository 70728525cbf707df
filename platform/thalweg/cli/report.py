"""The command that writes the report of a study, to be sent to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.options import RUNS, Output, Storage, Tracking, teller, terminal


def report(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a study; `thalweg studies` lists them.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="Folder for the files. \\[default: `report` in the study's folder]")
    ] = None,
    output: Output = RUNS,
    storage: Storage = None,
    tracking_uri: Tracking = None,
) -> None:
    """Writes a study's report: one HTML file that needs no network, the same in Markdown, and a CSV of its trials.

    Example: `thalweg report quickstart`, then open `thalweg_runs/quickstart/report/report.html`

    Question, data, protocol, leaderboard beside the baselines, verdicts of `thalweg confirm`, importance of
    parameters, curves, pictures of the best trial, cost, how to reproduce, and what to keep in mind. The page is
    stored with the study's run in MLflow, too, if there is one.
    """
    from datetime import datetime

    from thalweg.analysis import studies
    from thalweg.reporting.material import gather
    from thalweg.reporting.mlflow_copy import store_page
    from thalweg.reporting.report_files import write_report
    from thalweg.reporting.study_report import study_report
    from thalweg.reporting.trial_csv import trial_csv
    from thalweg.study_folder import StudyFolder
    from thalweg.tracking.address import check_tracking, default_uri
    from thalweg.wording import as_seen

    record, folder = studies.find(output, study, storage), output / study
    check_tracking(uri := tracking_uri or default_uri())
    tell = teller(terminal())
    material = gather(record, folder, storage)
    files = write_report(
        study_report(material, datetime.now()), trial_csv(record), to or StudyFolder(folder).report
    )
    tell(f"report in {as_seen(files.page)}, its Markdown twin and trials.csv beside it")
    tell(store_page(files, record.name, folder.absolute(), uri))
