"""Records explorations of data sets in MLflow: one run per content, in the experiment ``data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.dataset_contract import Exploration
from thalweg.errors import ConnectionFailed
from thalweg.tracking import naming, views
from thalweg.tracking.address import artifact_folder
from thalweg.tracking.client import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "data"
NOTE = "mlflow.note.content"


def record(uri: str, name: str, folder: Path, found: Exploration) -> str:
    """Records the exploration of a data set; a run of the same content is reused, and its files are replaced.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        name: ``FAMILY/DATASET``, the run's name.
        folder: Its files become the run's artifacts.
        found: What the family found.

    Returns:
        Address of the run's artifacts below MLflow's own.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        experiment = _experiment(client, artifact_folder(uri))
        run = _known(client, experiment, name, found.fingerprint)
        if run is None:
            run = client.create_run(experiment, run_name=name, tags=_tags(name, found)).info.run_id
            for fact, number in naming.finite(found.facts)[0].items():
                client.log_metric(run, naming.key(fact), number)
            for tag, original in naming.originals({fact: naming.key(fact) for fact in found.facts}).items():
                client.set_tag(run, tag, original)
        client.set_tag(run, NOTE, naming.clip(found.report, naming.MAX_TAG_LENGTH))
        client.log_artifacts(run, str(folder))
        client.set_terminated(run, "FINISHED")
    except (MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionFailed(
            f"MLflow must take the files, got {reason}; they lie in {folder}, or choose another --tracking-uri"
        ) from error
    return f"#/experiments/{experiment}/runs/{run}/artifacts?{views.TRAINING}"


def _experiment(client: MlflowClient, folder: Path | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        location = None if folder is None else (folder / EXPERIMENT).as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _known(client: MlflowClient, experiment: str, name: str, fingerprint: str) -> str | None:
    same = client.search_runs([experiment], f"tags.`thalweg.fingerprint` = '{fingerprint}'")
    # compared here: a filter takes no name with both kinds of quotes
    return next((str(run.info.run_id) for run in same if run.info.run_name == name), None)


def _tags(name: str, found: Exploration) -> dict[str, str]:
    return naming.tags(
        {"thalweg.kind": "data", "thalweg.data_set": name, "thalweg.fingerprint": found.fingerprint}
    )
