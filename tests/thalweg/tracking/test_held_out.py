"""What a trial reaches on the split ``test`` stands in its run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.tracking.held_out import record
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import Moment, State

if TYPE_CHECKING:
    from mlflow import MlflowClient


def tell(client: "MlflowClient", make: Any, folder: Path, *numbers: int) -> None:
    events = [make.started(), *(event for number in numbers for event in make.whole(number, 0.5))]
    StudyRuns(client, State(), folder).apply([Moment(1_000 + n, event) for n, event in enumerate(events)])


def test_metrics_are_those_of_their_trial_and_recorded_once(
    uri: str, client: "MlflowClient", study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 3, 4)
    found = {
        record(uri, study, make.folder, 4, {"skill": 0.4, "skill_rain": 0.2}, samples=512) for _ in range(2)
    }
    (run,) = [str(name) for name in found]
    metrics = client.get_run(run).data.metrics
    assert client.get_run(run).info.run_name == "trial 004"
    assert (metrics["test_skill"], metrics["test_skill_rain"], metrics["skill"]) == (0.4, 0.2, 0.5)
    history = client.get_metric_history(run, "test_skill")
    assert [(point.step, point.value) for point in history] == [(512, 0.4)]


def test_those_of_another_evaluation_stand_at_its_samples(
    uri: str, client: "MlflowClient", study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    run = str(record(uri, study, make.folder, 0, {"skill": 0.4}, samples=512))
    record(uri, study, make.folder, 0, {"skill": 0.45}, samples=256)
    assert client.get_run(run).data.metrics["test_skill"] == 0.4
    assert {point.step for point in client.get_metric_history(run, "test_skill")} == {256, 512}


def test_a_trial_that_mlflow_does_not_know_gets_nothing(
    uri: str, client: "MlflowClient", study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    assert record(uri, study, make.folder, 7, {"skill": 0.4}, samples=512) is None
