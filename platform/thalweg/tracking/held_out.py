"""Adds a trial's metrics on the split ``test`` to its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from thalweg.errors import ConnectionFailed
from thalweg.tracking import naming, trial_run
from thalweg.tracking.client import connect

PREFIX = "test_"


def record(
    uri: str, study: str, directory: Path, number: int, metrics: Mapping[str, float], *, samples: int
) -> str | None:
    """Writes metrics as ``test_NAME`` into a trial's run; a metric that it has already is not written again.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        number: Number of the trial.
        metrics: Metrics on the split ``test`` by name.
        samples: Samples that the checkpoint was trained on, recorded as the step.

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
        for name, value in metrics.items():
            key = naming.key(f"{PREFIX}{name}")
            known = {(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)}
            if (samples, value) not in known:
                client.log_metric(run.info.run_id, key, value, step=samples)
        return str(run.info.run_id)
    except MlflowException as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionFailed(
            f"MLflow must take the metrics, got {reason}; choose another --tracking-uri"
        ) from error
