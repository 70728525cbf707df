"""Trials in MLflow after their study: pictures are added to their run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thalweg.dataset_contract import Exploration
from thalweg.errors import ConnectionFailed
from thalweg.tracking.additions import (
    EXPERIMENT,
    VerdictRun,
    add_hold_out,
    add_hypervolumes,
    add_pictures,
    add_study_file,
    add_study_pictures,
    add_verdict,
    record_look,
    tag_front,
)
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import DeliveryState, Moment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures."""
    target = tmp_path / "drawn"
    target.mkdir()
    for name in ("maps.png", "hydrographs.png"):
        (target / name).write_bytes(name.encode())
    return target


def tell(client: MlflowClient, make: Any, folder: Path, *numbers: int) -> None:
    events = [make.started(), *(event for number in numbers for event in make.whole(number, 0.5))]
    StudyRuns(client, DeliveryState(), folder).apply(
        [Moment(1_000 + n, event) for n, event in enumerate(events)]
    )


@pytest.mark.slow
def test_pictures_are_artifacts_of_their_trial(
    uri: str, client: MlflowClient, study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 3, 4)
    run = add_pictures(uri, study, make.folder, 4, folder)
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


@pytest.mark.slow
def test_pictures_of_a_study_are_artifacts_of_its_own_run(
    uri: str, client: MlflowClient, study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    assert add_study_pictures(uri, study, make.folder, folder) is None
    tell(client, make, tmp_path / "artifacts", 0)
    run = add_study_pictures(uri, study, make.folder, folder)
    assert run is not None
    assert client.get_run(run).data.tags["thalweg.kind"] == "study"
    assert len(client.list_artifacts(run, "pictures")) == 2
    assert add_study_pictures(uri, study, tmp_path / "another", folder) is None
    (page := tmp_path / "report.html").write_text("all of it")
    assert add_study_file(uri, study, make.folder, page) == run
    assert "report.html" in [each.path for each in client.list_artifacts(run)]


def test_trials_of_a_front_are_found_by_a_tag_that_moves_with_it(
    uri: str, client: MlflowClient, study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0, 1, 2)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None

    def found(objectives: str) -> list[str]:
        asked = f"tags.pareto_front = '{objectives}'"
        return sorted(run.info.run_name for run in client.search_runs([experiment.experiment_id], asked))

    tag_front(uri, study, make.folder, [0, 1], [2], "skill and rmse")
    assert found("skill and rmse") == ["trial 000", "trial 001"]
    tag_front(uri, study, make.folder, [2], [0, 1, 7], "skill and rmse")
    assert found("skill and rmse") == ["trial 002"]
    tag_front(uri, study, make.folder, [0], [2], "skill and size")
    assert found("skill and rmse") == ["trial 002"], "a front of other objectives stays"


def test_the_hypervolume_over_time_is_a_metric_of_the_study(
    uri: str, client: MlflowClient, study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    add_hypervolumes(uri, study, make.folder, "skill-size", [0.25, 0.5])
    add_hypervolumes(uri, study, make.folder, "skill-size", [0.2, 0.4, 0.75])
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], "tags.`thalweg.kind` = 'study'")
    points = client.get_metric_history(run.info.run_id, "hypervolume/skill-size")
    assert sorted((point.step, point.value) for point in points) == [(1, 0.25), (2, 0.5), (3, 0.75)]
    add_hypervolumes(uri, "nobody's", make.folder, "skill-size", [0.25])


def test_drawing_again_replaces_the_pictures(
    uri: str, client: MlflowClient, study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    first = add_pictures(uri, study, make.folder, 0, folder)
    (folder / "maps.png").write_bytes(b"new")
    assert add_pictures(uri, study, make.folder, 0, folder) == first
    path = client.download_artifacts(str(first), "pictures/maps.png", str(tmp_path))
    assert Path(path).read_bytes() == b"new"


@pytest.mark.parametrize("where", ["another study", "another folder", "another trial"])
def test_a_trial_that_mlflow_does_not_know_has_no_run(
    uri: str, client: MlflowClient, study: str, make: Any, folder: Path, tmp_path: Path, where: str
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    name = "nobody's" if where == "another study" else study
    directory = tmp_path / "o'ther" if where == "another folder" else make.folder
    assert add_pictures(uri, name, directory, 7 if where == "another trial" else 0, folder) is None


def test_artifacts_that_cannot_be_written_are_reported_with_their_folder(
    uri: str, client: MlflowClient, study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder should be")
    tell_nothing = make.started()
    StudyRuns(client, DeliveryState(), tmp_path / "elsewhere").apply(
        [Moment(1, tell_nothing), *[Moment(2 + n, event) for n, event in enumerate(make.whole(0, 0.5))]]
    )
    (tmp_path / "elsewhere").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").write_text("a file where a folder should be")
    with pytest.raises(ConnectionFailed, match=f"MLflow must take the pictures, .* they lie in {folder}"):
        add_pictures(uri, study, make.folder, 0, folder)


def test_metrics_are_those_of_their_trial_and_recorded_once(
    uri: str, client: MlflowClient, study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 3, 4)
    found = {
        add_hold_out(uri, study, make.folder, 4, {"skill": 0.4, "skill_rain": 0.2}, samples=512)
        for _ in range(2)
    }
    (run,) = [str(name) for name in found]
    metrics = client.get_run(run).data.metrics
    assert client.get_run(run).info.run_name == "trial 004"
    assert (metrics["test_skill"], metrics["test_skill_rain"], metrics["skill"]) == (0.4, 0.2, 0.5)
    history = client.get_metric_history(run, "test_skill")
    assert [(point.step, point.value) for point in history] == [(512, 0.4)]


def test_those_of_another_evaluation_stand_at_its_samples(
    uri: str, client: MlflowClient, study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    run = str(add_hold_out(uri, study, make.folder, 0, {"skill": 0.4}, samples=512))
    add_hold_out(uri, study, make.folder, 0, {"skill": 0.45}, samples=256)
    assert client.get_run(run).data.metrics["test_skill"] == 0.4
    assert {point.step for point in client.get_metric_history(run, "test_skill")} == {256, 512}


def test_a_trial_that_mlflow_does_not_know_gets_nothing(
    uri: str, client: MlflowClient, study: str, make: Any, tmp_path: Path
) -> None:
    tell(client, make, tmp_path / "artifacts", 0)
    assert add_hold_out(uri, study, make.folder, 7, {"skill": 0.4}, samples=512) is None


FOUND = Exploration(
    fingerprint="0123abcd",
    report="4 scenes",
    statistics={"scenes/cubes": 3.0, "ratio": float("nan")},
    page="index.html",
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What a family wrote."""
    (tmp_path / "index.html").write_text("<p>first</p>")
    (tmp_path / "splits.csv").write_text("split,number\ntrain,7\n")
    return tmp_path


def runs(client: MlflowClient, name: str) -> list[Run]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return list(found)


def test_a_look_is_a_run_with_its_files_numbers_and_report(
    uri: str, client: MlflowClient, study: str, written: Path
) -> None:
    address = record_look(uri, study, written, FOUND)
    (run,) = runs(client, study)
    assert run.info.status == "FINISHED"
    assert f"/runs/{run.info.run_id}/artifacts" in address
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"index.html", "splits.csv"}
    assert run.data.metrics == {"scenes/cubes": 3.0}
    assert run.data.tags["mlflow.note.content"] == "4 scenes"
    assert run.data.tags["thalweg.fingerprint"] == "0123abcd"
    assert run.inputs is not None
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == ["0123abcd"]


def test_the_same_content_again_replaces_the_files_of_its_run(
    uri: str, client: MlflowClient, study: str, written: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = record_look(uri, study, written, FOUND)
    (written / "index.html").write_text("<p>second</p>")
    assert record_look(uri, study, written, FOUND) == first
    (run,) = runs(client, study)
    path = client.download_artifacts(run.info.run_id, "index.html", str(tmp_path_factory.mktemp("read")))
    assert Path(path).read_text() == "<p>second</p>"
    assert len(client.get_metric_history(run.info.run_id, "scenes/cubes")) == 1


def test_other_content_or_another_name_is_a_run_of_its_own(
    uri: str, client: MlflowClient, study: str, written: Path
) -> None:
    record_look(uri, study, written, FOUND)
    record_look(uri, study, written, replace(FOUND, fingerprint="4567"))
    record_look(uri, f"{study}-other", written, FOUND)
    assert len(runs(client, study)) == 2
    assert len(runs(client, f"{study}-other")) == 1


def test_a_look_is_recorded_after_its_experiment_was_deleted(
    uri: str, client: MlflowClient, study: str, written: Path
) -> None:
    record_look(uri, study, written, FOUND)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    record_look(uri, f"{study}-again", written, FOUND)
    assert len(runs(client, f"{study}-again")) == 1


def test_files_that_mlflow_does_not_take_are_still_named(
    uri: str, client: MlflowClient, study: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mlflow.MlflowClient.log_artifacts", refuse)
    with pytest.raises(ConnectionFailed, match=f"got disk full; they lie in {written}.*--tracking-uri"):
        record_look(uri, study, written, FOUND)


def test_a_verdict_is_tags_of_its_study_and_a_run_for_each_configuration(
    uri: str, client: MlflowClient, study: str, make: Any, folder: Path, tmp_path: Path
) -> None:
    def group(mean: float, verdict: str) -> VerdictRun:
        return VerdictRun(
            name="trial 7 over seeds",
            metrics={"objective": mean, "spread": 0.1, "low": float("nan"), "seeds": 3.0},
            tags={"verdict": verdict, "failures": "1 of 3 failed" if verdict == "cannot tell" else ""},
            params={"configuration": "trial 7"},
        )

    told = {"verdict/trial 7": "cannot tell over 3 seeds"}
    assert add_verdict(uri, study, make.folder, told, [group(0.5, "cannot tell")], folder) is None
    tell(client, make, tmp_path / "artifacts", 0)
    run = add_verdict(uri, study, make.folder, told, [group(0.5, "cannot tell")], folder)
    assert run is not None and client.get_run(run).data.tags["verdict/trial 7"] == "cannot tell over 3 seeds"
    assert len(client.list_artifacts(run, "verdict")) == 2
    add_verdict(uri, study, make.folder, {"verdict/trial 7": "beats"}, [group(0.6, "beats")], folder)
    assert client.get_run(run).data.tags["verdict/trial 7"] == "beats"
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id], "tags.`thalweg.kind` = 'group'")
    assert found.data.tags["mlflow.parentRunId"] == run and found.data.tags["verdict"] == "beats"
    assert "failures" not in found.data.tags  # the run was lost, and ran again
    assert (found.data.metrics["objective"], found.data.params["configuration"]) == (0.6, "trial 7")
    assert "low" not in found.data.metrics and found.info.status == "FINISHED"
