"""Finds the run of a trial in MLflow, to add what is learnt about the trial after its study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.errors import ConnectionFailed
from thalweg.tracking import naming
from thalweg.tracking.address import resolve_uri
from thalweg.tracking.quiet import QUIET

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def connect(uri: str) -> MlflowClient:
    """Returns a client of an address, which `check_tracking` found to answer.

    Raises:
        ConnectionFailed: It does not answer any more.
    """
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(resolve_uri(uri))
    except (MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionFailed(f"MLflow must answer, got {reason}; choose another --tracking-uri") from error


def find(client: MlflowClient, study: str, directory: Path, number: int) -> Run | None:
    """Returns the newest run of a trial; None where MLflow has no such run.

    Args:
        client: MLflow.
        study: Name of the study, which is its experiment's.
        directory: Folder of the study; another study may have had its name.
        number: The trial.
    """
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return None
    mine = [
        "tags.`thalweg.kind` = 'trial'",
        f"tags.`thalweg.directory` = '{naming.quotable(str(directory))}'",
        f"attributes.run_name = '{naming.trial(number)}'",
    ]
    runs = client.search_runs(
        [experiment.experiment_id], " and ".join(mine), order_by=["start_time DESC"], max_results=1
    )
    return runs[0] if runs else None
