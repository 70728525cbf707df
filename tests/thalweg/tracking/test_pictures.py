"""Pictures become artifacts of the run of their trial."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thalweg.errors import ConnectionFailed
from thalweg.tracking.pictures import record
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import Moment, State

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures."""
    target = tmp_path / "drawn"
    target.mkdir()
    for name in ("maps.png", "hydrographs.png"):
        (target / name).write_bytes(name.encode())
    return target


def tell(client: "MlflowClient", make: Any, folder: Path, *numbers: int) -> None:
    events = [make.started(), *(event for number in numbers for event in make.whole(number, 0.5))]
    StudyRuns(client, State(), folder).apply([Moment(1_000 + n, event) for n, event in enumerate(events)])


def test_pictures_are_artifacts_of_their_trial(
    uri: str, client: "MlflowClient", study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 3, 4)
    run = record(uri, study, make.folder, 4, folder)
    assert run is not None
    assert client.get_run(run).info.run_name == "trial 004"
    assert {file.path for file in client.list_artifacts(run, "pictures")} == {
        "pictures/maps.png",
        "pictures/hydrographs.png",
    }
    assert client.get_run(run).info.status == "FINISHED"
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    others = client.search_runs([experiment.experiment_id], "attributes.run_name = 'trial 003'")
    assert not client.list_artifacts(others[0].info.run_id, "pictures")


def test_drawing_again_replaces_the_pictures(
    uri: str, client: "MlflowClient", study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    first = record(uri, study, make.folder, 0, folder)
    (folder / "maps.png").write_bytes(b"new")
    assert record(uri, study, make.folder, 0, folder) == first
    path = client.download_artifacts(str(first), "pictures/maps.png", str(tmp_path))
    assert Path(path).read_bytes() == b"new"


@pytest.mark.parametrize("where", ["another study", "another folder", "another trial"])
def test_a_trial_that_mlflow_does_not_know_has_no_run(
    uri: str, client: "MlflowClient", study: str, make: Any, folder: Path, tmp_path: Path, where: str
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    name = "nobody's" if where == "another study" else study
    directory = tmp_path / "o'ther" if where == "another folder" else make.folder
    assert record(uri, name, directory, 7 if where == "another trial" else 0, folder) is None


def test_artifacts_that_cannot_be_written_are_reported_with_their_folder(
    uri: str, client: "MlflowClient", study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder should be")
    tell_nothing = make.started()
    StudyRuns(client, State(), tmp_path / "elsewhere").apply(
        [Moment(1, tell_nothing), *[Moment(2 + n, event) for n, event in enumerate(make.whole(0, 0.5))]]
    )
    (tmp_path / "elsewhere").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").write_text("a file where a folder should be")
    with pytest.raises(ConnectionFailed, match=f"MLflow must take the pictures, .* they lie in {folder}"):
        record(uri, study, make.folder, 0, folder)
