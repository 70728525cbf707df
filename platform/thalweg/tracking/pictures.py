"""Adds pictures of a trial to its run in MLflow."""

from __future__ import annotations

from pathlib import Path

from thalweg.errors import ConnectionFailed
from thalweg.tracking import trial_run
from thalweg.tracking.client import connect

FOLDER = "pictures"


def record(uri: str, study: str, directory: Path, number: int, folder: Path) -> str | None:
    """Uploads the files of a folder as artifacts of a trial's run, below ``pictures``.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        number: Number of the trial.
        folder: Folder of the pictures.

    Returns:
        The run's id; None if MLflow has no such run.

    Raises:
        ConnectionFailed: MLflow does not accept them.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        run = trial_run.find(client, study, directory, number)
        if run is None:
            return None
        client.log_artifacts(run.info.run_id, str(folder), FOLDER)
        return str(run.info.run_id)
    except (MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionFailed(
            f"MLflow must take the pictures, got {reason}; they lie in {folder}, or choose another --tracking-uri"
        ) from error
