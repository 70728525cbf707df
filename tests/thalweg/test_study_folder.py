"""Names on disk and in MLflow are those by which earlier studies are found."""

from pathlib import Path

from thalweg.study_folder import (
    BASELINES,
    CHECKPOINTS,
    StudyFolder,
    checkpoint_name,
    checkpoints_of,
    studies_in,
    trial_name,
    trial_title,
)

FOLDER = StudyFolder(Path("runs/one"))


def test_every_name_is_that_of_earlier_versions() -> None:
    paths = {
        "journal.log": FOLDER.journal,
        "driver.lock": FOLDER.claim,
        "checkpoints": FOLDER.checkpoints,
        "checkpoints/trial-00007": FOLDER.trial(trial_name(7)),
        "sources": FOLDER.starting_points,
        "sources/.lock": FOLDER.starting_points_lock,
        "sources/two.v1.pt": FOLDER.starting_weights("two.v1"),
        "sources/two.v1.json": FOLDER.starting_point("two.v1"),
        "lanes": FOLDER.lanes,
        "tune": FOLDER.tune,
        "ray.log": FOLDER.ray_log,
        "failures/trial-00007.txt": FOLDER.failure(trial_name(7)),
        "pictures/trial-00007": FOLDER.pictures(7),
        "mlflow.json": FOLDER.mlflow_state,
        "mlflow_refused.jsonl": FOLDER.mlflow_refused,
        "mlflow.log": FOLDER.mlflow_log,
        "mlflow.lock": FOLDER.mlflow_lock,
        "mlflow_spool.0000000000012.jsonl": FOLDER.spool(12),
    }
    assert {str(path.relative_to("runs/one")) for path in paths.values()} == paths.keys()
    assert all(path == FOLDER.path / name for name, path in paths.items())
    assert (CHECKPOINTS, BASELINES) == ("checkpoints", "baselines.json")


def test_a_trial_has_one_name_for_files_and_one_title() -> None:
    assert (trial_name(7), trial_title(7)) == ("trial-00007", "trial 007")
    assert (trial_name(123456), trial_title(1234)) == ("trial-123456", "trial 1234")
    assert checkpoint_name(2048) == "samples-000000002048"


def test_what_lies_in_a_folder_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("two", "one"):
        folder = StudyFolder(tmp_path / name)
        folder.starting_points.mkdir(parents=True)
        folder.journal.touch()
    (tmp_path / "no study").mkdir()
    assert studies_in(tmp_path) == [StudyFolder(tmp_path / "one"), StudyFolder(tmp_path / "two")]
    for session in (11, 2):
        folder.spool(session).touch()
    (folder.path / "mlflow_spool.odd.jsonl").touch()
    assert folder.sessions() == [2, 11]
    for study in ("b", "a.b"):
        folder.starting_point(study).touch()
        folder.starting_weights(study).touch()
    assert folder.frozen_studies() == ["a.b", "b"]
    assert folder.starting_weights_of(["b", "a.b"]) == {
        "b": str(folder.starting_weights("b")),
        "a.b": str(folder.starting_weights("a.b")),
    }
    trial = folder.trial(trial_name(3))
    for samples in (64, 128, 8):
        (trial / checkpoint_name(samples)).mkdir(parents=True)
    (trial / ".samples-000000000001.partial").mkdir()
    assert [path.name for path in checkpoints_of(trial)] == [checkpoint_name(n) for n in (8, 64, 128)]
