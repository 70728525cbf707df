"""Finds the run of a trial in MLflow, to add results to it after its study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.study_folder import StudyFolder, trial_title
from thalweg.tracking import naming
from thalweg.tracking.spool import State

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def find(client: MlflowClient, study: str, directory: Path, number: int) -> Run | None:
    """Returns the newest run of a trial; None if MLflow has no such run.

    Args:
        client: MLflow's client.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        number: Number of the trial.
    """
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return None
    state = StudyFolder(directory).mlflow_state
    own = f"tags.`thalweg.directory` = '{naming.quotable(str(directory))}'"
    if state.exists():  # valid also if the folder was moved since
        known = State.load(state)
        known.settle(directory)  # a copy of a study has none of the original's runs
        own = f"tags.`thalweg.id` = '{known.study_id}'"
    mine = [
        "tags.`thalweg.kind` = 'trial'",
        own,
        f"attributes.run_name = '{trial_title(number)}'",
    ]
    runs = client.search_runs(
        [experiment.experiment_id], " and ".join(mine), order_by=["start_time DESC"], max_results=1
    )
    return runs[0] if runs else None
