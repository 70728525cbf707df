"""Looks at data sets, read back through MLflow's own client."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thalweg.dataset_contract import Exploration
from thalweg.errors import ConnectionFailed
from thalweg.tracking.datasets import EXPERIMENT, record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FOUND = Exploration(
    fingerprint="0123abcd",
    report="4 scenes",
    facts={"scenes/cubes": 3.0, "ratio": float("nan")},
    page="index.html",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a family wrote."""
    (tmp_path / "index.html").write_text("<p>first</p>")
    (tmp_path / "splits.csv").write_text("split,number\ntrain,7\n")
    return tmp_path


def runs(client: "MlflowClient", name: str) -> "list[Run]":
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return list(found)


def test_a_look_is_a_run_with_its_files_numbers_and_report(
    uri: str, client: "MlflowClient", study: str, folder: Path
) -> None:
    address = record(uri, study, folder, FOUND)
    (run,) = runs(client, study)
    assert run.info.status == "FINISHED"
    assert f"/runs/{run.info.run_id}/artifacts" in address
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"index.html", "splits.csv"}
    assert run.data.metrics == {"scenes/cubes": 3.0}
    assert run.data.tags["mlflow.note.content"] == "4 scenes"
    assert run.data.tags["thalweg.fingerprint"] == "0123abcd"


def test_the_same_content_again_replaces_the_files_of_its_run(
    uri: str, client: "MlflowClient", study: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = record(uri, study, folder, FOUND)
    (folder / "index.html").write_text("<p>second</p>")
    assert record(uri, study, folder, FOUND) == first
    (run,) = runs(client, study)
    path = client.download_artifacts(run.info.run_id, "index.html", str(tmp_path_factory.mktemp("read")))
    assert Path(path).read_text() == "<p>second</p>"
    assert len(client.get_metric_history(run.info.run_id, "scenes/cubes")) == 1


def test_other_content_or_another_name_is_a_run_of_its_own(
    uri: str, client: "MlflowClient", study: str, folder: Path
) -> None:
    record(uri, study, folder, FOUND)
    record(uri, study, folder, replace(FOUND, fingerprint="4567"))
    record(uri, f"{study}-other", folder, FOUND)
    assert len(runs(client, study)) == 2
    assert len(runs(client, f"{study}-other")) == 1


def test_a_look_is_recorded_after_its_experiment_was_deleted(
    uri: str, client: "MlflowClient", study: str, folder: Path
) -> None:
    record(uri, study, folder, FOUND)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    record(uri, f"{study}-again", folder, FOUND)
    assert len(runs(client, f"{study}-again")) == 1


def test_files_that_mlflow_does_not_take_are_still_named(
    uri: str, client: "MlflowClient", study: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mlflow.MlflowClient.log_artifacts", refuse)
    with pytest.raises(ConnectionFailed, match=f"got disk full; they lie in {folder}.*--tracking-uri"):
        record(uri, study, folder, FOUND)
