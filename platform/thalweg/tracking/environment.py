"""Environment variables that stop MLflow's telemetry and terminal output; set before it is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""For every process that uses MLflow."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""For the delivering process, which retries by itself and must learn soon that nobody answers."""


def environment(*settings: Mapping[str, str]) -> dict[str, str]:
    """Returns this process's environment with the settings in place."""
    return {**os.environ, **{name: value for group in settings for name, value in group.items()}}


def be_quiet() -> None:
    """Applies `QUIET` to this process, except what the user has set; call it before MLflow is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
