"""A trial's run in MLflow, read back: configuration, curve, tags and code."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConnectionFailed, StudyError
from thalweg.hashing import hash_of_code
from thalweg.tracking import naming
from thalweg.tracking.client import connect
from thalweg.tracking.metrics.curated import OBJECTIVE
from thalweg.tracking.metrics.metric_table import read_table

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class TrialRun:
    """What MLflow holds of a trial.

    Attributes:
        study: Name of the study.
        number: Number of the trial.
        directory: The study's folder when it ran.
        tags: Tags of the trial's run, and those of the study's run that it lacks.
        settings: Parameters of the study's run.
        config: The resolved configuration as JSON.
        curve: (samples, objective) at each evaluation.
        code: Hash of each module's code, by its path below the import path; empty if MLflow does not hold it.
        metrics: The family's metrics at the last evaluation; empty if an earlier version of Thalweg recorded the run.
        continued_by: Number of the trial that continues it; None if none does.
    """

    study: str
    number: int
    directory: Path
    tags: Mapping[str, str]
    settings: Mapping[str, str]
    config: Mapping[str, Any]
    curve: tuple[tuple[int, float], ...]
    code: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    continued_by: int | None = None


def read_trial_run(uri: str, run_id: str) -> TrialRun:
    """Reads a trial's run.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        run_id: Id of the run.

    Raises:
        StudyError: There is no such run, or it is no trial's.
        ConnectionFailed: MLflow does not answer any more.
    """
    from mlflow.exceptions import MlflowException

    client = connect(uri)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise StudyError(
            f"a run must be in MLflow to be reproduced, got {run_id!r}, which {uri} does not know: name a study and "
            f"--trial, or another --tracking-uri ({_line(error)})"
        ) from None
    kind = run.data.tags.get("thalweg.kind")
    if kind != "trial":
        raise StudyError(
            f"a run must be a trial's to be reproduced, got {run.info.run_name!r}, which is "
            f"{f'a {kind}' if kind else 'not of thalweg'}; take the id of a run below the study's"
        )
    try:
        return _read(client, run)
    except (MlflowException, OSError, ValueError) as error:
        raise ConnectionFailed(
            f"MLflow must hold the record of a trial, got {_line(error)} for {run_id}; choose another --tracking-uri"
        ) from error


def _read(client: MlflowClient, run: Run) -> TrialRun:
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    points = client.get_metric_history(run.info.run_id, OBJECTIVE)
    curve = {int(point.step): float(point.value) for point in points}
    table = read_table(client, run.info.run_id)
    with tempfile.TemporaryDirectory() as folder:
        config = json.loads(Path(client.download_artifacts(run.info.run_id, _CONFIG, folder)).read_text())
        code = _code(client, parent.info.run_id, run.data.tags.get("code_hash"), folder)
    return TrialRun(
        study=run.data.tags["thalweg.study"],
        number=_number(run),
        directory=Path(run.data.tags["thalweg.directory"]),
        tags={**parent.data.tags, **run.data.tags},
        settings=parent.data.params,
        config=config,
        curve=tuple(sorted(curve.items())),
        code=code,
        metrics=naming.of_family(table.at(max(curve))) if curve else {},
        continued_by=_continued_by(client, run),
    )


def _code(client: MlflowClient, parent: str, version: str | None, folder: str) -> dict[str, str]:
    """Returns the hash of each module that MLflow keeps of a version of the code."""
    name = f"code/{version}"
    if not version or name not in {each.path for each in client.list_artifacts(parent, "code")}:
        return {}
    kept = Path(client.download_artifacts(parent, name, folder))
    found = {
        str(file.relative_to(kept)): hash_of_code(file.read_text(encoding="utf-8"))
        for file in sorted(kept.rglob("*.py"))
    }
    return {path: known for path, known in found.items() if known}


def _continued_by(client: MlflowClient, run: Run) -> int | None:
    own = f"tags.`thalweg.id` = '{run.data.tags.get('thalweg.id', '')}' and tags.continues = '{_number(run)}'"
    found = client.search_runs([run.info.experiment_id], own, max_results=1)
    return _number(found[0]) if found else None


def _number(run: Run) -> int:
    return int(str(run.info.run_name).rpartition(" ")[2])


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
