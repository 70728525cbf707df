"""Which runs in MLflow are those of a study, and which are of another one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.thalweg.tracking.conftest import Teller
from thalweg.tracking.additions import find_trial
from thalweg.tracking.spool import DeliveryState

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Recorded = Callable[[], dict[str, "Run"]]


def test_runs_of_another_study_in_the_same_experiment_are_left_alone(
    teller: Teller, make: Any, client: "MlflowClient", recorded: Recorded
) -> None:
    teller.tell(make.started(), make.trial(0))
    other = Teller(client, teller.folder)
    other.tell(make.started(directory="elsewhere"))
    assert client.get_run(teller.state.open["0"].run_id).info.status == "RUNNING"


def test_the_run_of_a_trial_is_found_from_a_folder_that_was_moved(
    teller: Teller, make: Any, client: "MlflowClient", study: str, tmp_path: Path
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.1))
    moved = tmp_path / "moved"
    moved.mkdir()
    assert find_trial(client, study, moved, 0) is None
    teller.state.save(moved / "mlflow.json")
    assert find_trial(client, study, moved, 0) is not None


def test_the_run_of_an_original_is_not_that_of_its_copys_trial(
    teller: Teller, make: Any, client: "MlflowClient", study: str, tmp_path: Path
) -> None:
    teller.state.settle(make.folder)
    teller.tell(make.started(), *make.whole(0, 0.1))
    for folder in (make.folder, tmp_path / "copy"):
        folder.mkdir()
        teller.state.save(folder / "mlflow.json")
    assert find_trial(client, study, make.folder, 0) is not None
    assert find_trial(client, study, tmp_path / "copy", 0) is None


def test_a_copied_study_leaves_the_runs_of_its_original_alone(
    teller: Teller, make: Any, client: "MlflowClient", tmp_path: Path
) -> None:
    teller.state.settle(make.folder)
    teller.tell(make.started(), *make.whole(0, 0.1))
    make.folder.mkdir()
    teller.state.save(make.folder / "mlflow.json")
    copy = Teller(client, teller.folder)
    copy.state = DeliveryState.load(make.folder / "mlflow.json")
    copy.state.settle(tmp_path / "copy")
    copy.forget()
    copy.runs.apply(teller.moments)  # the copied spool
    copy.tell(make.started(directory=str(tmp_path / "copy"), finished_trials=1), *make.whole(1, 0.9))
    assert copy.state.parent_id != teller.state.parent_id
    assert client.get_run(teller.state.parent_id).data.metrics["best_objective"] == 0.1
    assert client.get_run(copy.state.parent_id).data.metrics["trials/complete"] == 2
    tags = client.get_run(copy.state.leaders[1].run_id).data.tags
    assert tags["thalweg.directory"] == str(tmp_path / "copy")
