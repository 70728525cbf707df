"""Additions to MLflow beside the record of a study: pictures, hold-out metrics, verdicts, explorations of data sets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.dataset_contract import Exploration
from thalweg.errors import ConnectionFailed
from thalweg.study_folder import StudyFolder, trial_title
from thalweg.tracking import naming, pages
from thalweg.tracking.address import artifact_folder
from thalweg.tracking.batch import data_input
from thalweg.tracking.client import connect
from thalweg.tracking.metrics.curated import MAX_ON_TEST
from thalweg.tracking.metrics.metric_table import TEST_TABLE_FILE, read_table, write_table
from thalweg.tracking.spool import DeliveryState

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


PICTURES = "pictures"
HOLD_OUT_PREFIX = "test_"
FRONT = "pareto_front"
"""Tag of a trial on a Pareto front: the objectives."""
HYPERVOLUME = "hypervolume/"
"""How metrics of a study begin that hold the hypervolume of a Pareto front over time."""
_MAX_BATCH = 1000  # metrics in one call, MLflow's limit


@contextmanager
def _accepted(what: str, way_out: str) -> Iterator[None]:
    """Turns a refusal by MLflow into a `ConnectionFailed` that names what MLflow must take, and the way out."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionFailed(f"MLflow must take {what}, got {reason}; {way_out}") from error


def find_trial(client: MlflowClient, study: str, directory: Path, number: int) -> Run | None:
    """Returns the newest run of a trial; None if MLflow has no such run.

    Args:
        client: MLflow's client.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        number: Number of the trial.
    """
    return _find(client, study, directory, f"'trial' and attributes.run_name = '{trial_title(number)}'")


def _find(client: MlflowClient, study: str, directory: Path, kind: str) -> Run | None:
    """Returns the newest run of a study of a quoted kind; None if MLflow has no such run."""
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return None
    state = StudyFolder(directory).mlflow_state
    own = f"tags.`thalweg.directory` = '{naming.quotable(str(directory))}'"
    if state.exists():  # valid also if the folder was moved since
        known = DeliveryState.load(state)
        known.settle(directory)  # a copy of a study has none of the original's runs
        own = f"tags.`thalweg.id` = '{known.study_id}'"
    mine = f"{own} and tags.`thalweg.kind` = {kind}"
    runs = client.search_runs([experiment.experiment_id], mine, order_by=["start_time DESC"], max_results=1)
    return runs[0] if runs else None


def add_study_pictures(uri: str, study: str, directory: Path, folder: Path) -> str | None:
    """Uploads the files of a folder as artifacts of a study's own run, below ``pictures``; see `add_study_file`."""
    return _add_to_study(uri, study, directory, folder, PICTURES)


def add_study_file(uri: str, study: str, directory: Path, file: Path) -> str | None:
    """Uploads a file as an artifact of a study's own run.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        file: The file.

    Returns:
        The run's id; None if MLflow has no such run.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    return _add_to_study(uri, study, directory, file)


def _add_to_study(
    uri: str, study: str, directory: Path, source: Path, below: str | None = None
) -> str | None:
    client = connect(uri)
    what, lies = ("the pictures", "they lie") if source.is_dir() else (source.name, "it lies")
    with _accepted(what, f"{lies} in {source}, or choose another --tracking-uri"):
        run = _find(client, study, directory, "'study'")
        if run is None:
            return None
        add = client.log_artifacts if source.is_dir() else client.log_artifact
        add(run.info.run_id, str(source), below)
        return str(run.info.run_id)


def tag_front(
    uri: str,
    study: str,
    directory: Path,
    members: Sequence[int],
    others: Sequence[int],
    objectives: str,
) -> None:
    """Tags the runs of trials of a Pareto front with its objectives, and takes that tag from those of others.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        members: Numbers of the trials of the front.
        others: Numbers of trials that are not of it; some may have been of an earlier one.
        objectives: The objectives in words.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    client = connect(uri)
    with _accepted("the tags", "choose another --tracking-uri"):
        for number in members:
            if (run := find_trial(client, study, directory, number)) is not None:
                client.set_tag(run.info.run_id, FRONT, objectives)
        for number in others:
            run = find_trial(client, study, directory, number)
            if run is not None and run.data.tags.get(FRONT) == objectives:
                client.delete_tag(run.info.run_id, FRONT)


def add_hypervolumes(uri: str, study: str, directory: Path, name: str, volumes: Sequence[float]) -> None:
    """Writes the hypervolume over time as ``hypervolume/NAME`` of a study's own run; steps that it has stay.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        name: Names of the objectives.
        volumes: Hypervolume after each complete trial, in the order in which they ended; the step is their number.

    Raises:
        ConnectionFailed: MLflow does not accept them.
    """
    from mlflow.entities import Metric

    client, key = connect(uri), naming.key(f"{HYPERVOLUME}{name}")
    with _accepted("the metrics", "choose another --tracking-uri"):
        run = _find(client, study, directory, "'study'")
        if run is None:
            return
        known = {point.step for point in client.get_metric_history(run.info.run_id, key)}
        now = int(time.time() * 1000)
        new = [
            Metric(key, volume, now, step)
            for step, volume in enumerate(volumes, start=1)
            if step not in known
        ]
        for start in range(0, len(new), _MAX_BATCH):
            client.log_batch(run.info.run_id, metrics=new[start : start + _MAX_BATCH])


def add_pictures(uri: str, study: str, directory: Path, number: int, folder: Path) -> str | None:
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
    with _accepted("the pictures", f"they lie in {folder}, or choose another --tracking-uri"):
        run = find_trial(client, study, directory, number)
        if run is None:
            return None
        client.log_artifacts(run.info.run_id, str(folder), PICTURES)
        return str(run.info.run_id)


def add_hold_out(
    uri: str, study: str, directory: Path, number: int, metrics: Mapping[str, float], *, samples: int
) -> str | None:
    """Writes hold-out metrics into a trial's run: the first few as ``test_NAME``, and all into a table, an artifact.

    A value that it has already is not written again.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the study and of its experiment.
        directory: Folder of the study; another study may have had its name.
        number: Number of the trial.
        metrics: Metrics on the split ``test`` by name, the most important ones first.
        samples: Samples that the checkpoint was trained on, recorded as the step.

    Returns:
        The run's id; None if MLflow has no such run.

    Raises:
        ConnectionFailed: MLflow does not accept them.
    """
    client = connect(uri)
    with _accepted("the metrics", "choose another --tracking-uri"):
        run = find_trial(client, study, directory, number)
        if run is None:
            return None
        table = read_table(client, run.info.run_id, TEST_TABLE_FILE)
        table.add(samples, metrics, int(time.time() * 1000))
        write_table(client, run.info.run_id, table, TEST_TABLE_FILE)
        for name, value in [*metrics.items()][:MAX_ON_TEST]:
            key = naming.key(f"{HOLD_OUT_PREFIX}{name}")
            known = {(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)}
            if (samples, value) not in known:
                client.log_metric(run.info.run_id, key, value, step=samples)
        return str(run.info.run_id)


EXPERIMENT = "data"
NOTE = "mlflow.note.content"


def record_look(uri: str, name: str, folder: Path, found: Exploration) -> str:
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
    with _accepted("the files", f"they lie in {folder}, or choose another --tracking-uri"):
        experiment = _experiment_of_looks(client, artifact_folder(uri))
        run = _known_look(client, experiment, name, found.fingerprint)
        if run is None:
            run = client.create_run(experiment, run_name=name, tags=_tags_of_look(name, found)).info.run_id
            client.log_inputs(run, [data_input(name.partition("/")[2] or name, found.fingerprint)])
            for metric, number in naming.finite(found.statistics)[0].items():
                client.log_metric(run, naming.key(metric), number)
            for tag, original in naming.originals(
                {metric: naming.key(metric) for metric in found.statistics}
            ).items():
                client.set_tag(run, tag, original)
        client.set_tag(run, NOTE, naming.clip(found.report, naming.MAX_TAG_LENGTH))
        client.log_artifacts(run, str(folder))
        client.set_terminated(run, "FINISHED")
    return f"#/experiments/{experiment}/runs/{run}/artifacts?{pages.TRAINING}"


def _experiment_of_looks(client: MlflowClient, folder: Path | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        location = None if folder is None else (folder / EXPERIMENT).as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _known_look(client: MlflowClient, experiment: str, name: str, fingerprint: str) -> str | None:
    same = client.search_runs([experiment], f"tags.`thalweg.fingerprint` = '{fingerprint}'")
    # compared here: a filter takes no name with both kinds of quotes
    return next((str(run.info.run_id) for run in same if run.info.run_name == name), None)


def _tags_of_look(name: str, found: Exploration) -> dict[str, str]:
    return naming.tags(
        {"thalweg.kind": "data", "thalweg.data_set": name, "thalweg.fingerprint": found.fingerprint}
    )


@dataclass(frozen=True, kw_only=True)
class VerdictRun:
    """What MLflow records of one configuration of a confirmation: a run of its own, for means over seeds.

    Attributes:
        name: Name of the run; one of the same name is written anew.
        metrics: Mean, ends of the interval and spread, by name.
        tags: Verdict and role; an empty one is deleted.
        params: What the configuration is.
    """

    name: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    params: Mapping[str, str]


def add_verdict(
    uri: str, study: str, directory: Path, tags: Mapping[str, str], groups: Sequence[VerdictRun], folder: Path
) -> str | None:
    """Writes a verdict into MLflow: tags and files of the study's own run, and a run below it for each configuration.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        study: Name of the confirmation and of its experiment.
        directory: Its folder, absolute.
        tags: The verdict in words, by rival.
        groups: The configurations.
        folder: Folder of the files of the verdict.

    Returns:
        The run's id; None if MLflow has no such run.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    client = connect(uri)
    with _accepted("the verdict", f"it lies in {folder}, or choose another --tracking-uri"):
        run = _find(client, study, directory, "'study'")
        if run is None:
            return None
        parent = str(run.info.run_id)
        for name, value in naming.tags(tags).items():
            client.set_tag(parent, name, value)
        client.log_artifacts(parent, str(folder), VERDICT)
        own = {name: run.data.tags[name] for name in _OF_STUDY if name in run.data.tags}
        for group in groups:
            _write_group(client, str(run.info.experiment_id), parent, own, group)
        return parent


VERDICT = "verdict"
_OF_STUDY = ("thalweg.study", "thalweg.id", "thalweg.identity", "thalweg.directory", "mlflow.source.name")


def _write_group(
    client: MlflowClient, experiment: str, parent: str, own: Mapping[str, str], group: VerdictRun
) -> None:
    known = client.search_runs(
        [experiment], f"tags.`thalweg.kind` = 'group' and tags.`mlflow.parentRunId` = '{parent}'"
    )
    found = next((each for each in known if each.info.run_name == group.name), None)
    run = None if found is None else found.info.run_id
    if run is None:
        made = {**own, "thalweg.kind": "group", "mlflow.parentRunId": parent, **group.tags}
        run = client.create_run(experiment, run_name=group.name, tags=naming.tags(made)).info.run_id
        for name, text in group.params.items():
            client.log_param(run, naming.key(name), text)
    for name, text in naming.tags(group.tags).items():
        client.set_tag(run, name, text)
    for name in (naming.key(name) for name, text in group.tags.items() if not text):
        if found is not None and name in found.data.tags:  # such as a failure that was none
            client.delete_tag(run, name)
    for name, number in naming.finite(group.metrics)[0].items():
        client.log_metric(run, naming.key(name), number, step=int(group.metrics.get("seeds", 0)))
    client.set_terminated(run, "FINISHED")
