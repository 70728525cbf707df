"""Adds pictures of a trial to its run in MLflow."""

from __future__ import annotations

import os
from pathlib import Path

from thalweg.errors import ConnectionFailed
from thalweg.tracking import naming
from thalweg.tracking.address import resolve_uri
from thalweg.tracking.quiet import QUIET

FOLDER = "pictures"


def record(uri: str, study: str, directory: Path, number: int, folder: Path) -> str | None:
    """Makes the files of a folder artifacts of a trial's run, below ``pictures``.

    Args:
        uri: MLflow's address, which `check_tracking` found to answer.
        study: Name of the study, which is its experiment's.
        directory: Folder of the study; another study may have had its name.
        number: The trial.
        folder: The pictures.

    Returns:
        The run's id; None where MLflow has no such run.

    Raises:
        ConnectionFailed: MLflow does not take them.
    """
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(resolve_uri(uri))
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
        if not runs:
            return None
        client.log_artifacts(runs[0].info.run_id, str(folder), FOLDER)
        return str(runs[0].info.run_id)
    except (MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionFailed(
            f"MLflow must take the pictures, got {reason}; they lie in {folder}, or choose another --tracking-uri"
        ) from error
