"""A trial's run is read back from MLflow, and is enough to reproduce the trial without its study's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thalweg.errors import StudyError
from thalweg.search.reproduction.mlflow_run import is_run_id, of_run
from thalweg.tracking.metrics.metric_table import MetricTable
from thalweg.tracking.reading.trial_run import read_trial_run

if TYPE_CHECKING:
    from collections.abc import Callable

CODE = {"families/toy/task.py": "WIDTH = 8\n", "families/toy/config.py": '"""Nothing but text."""\n'}


@pytest.fixture
def runs(teller: Any, make: Any, recorded: Callable[[], dict[str, Any]], tmp_path: Path) -> dict[str, str]:
    """Ids of the runs of a study by name; one trial is complete, one was stopped and is continued, one broke."""
    version = tmp_path / "code/9fab"
    for name, text in CODE.items():
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        (version / name).write_text(text)
    definition = {"samples": 512, "num_evaluations": 2, "num_workers": 1}
    teller.tell(make.started(family="families.toy", definition=definition, code_folder=str(version)))
    begun = {number: make.trial(number) for number in range(4)}
    begun[0] = replace(begun[0], tags={**begun[0].tags, "code_hash": "9fab", "protocol_hash": "abc"})
    begun[2] = replace(begun[2], tags={**begun[2].tags, "continues": "1"})
    provenance = {"device": "cpu", "world_size": "2", "num_threads": "1"}
    whole = replace(make.progress(0, 256, 0.1 + 0.2), provenance=provenance)
    teller.tell(begun[0], whole, make.progress(0, 512, 1 / 3), make.ended(0, 1 / 3, ended_as="complete"))
    stopped = make.ended(1, 0.5, "failed", "interrupted: stopped", ended_as="stopped_by_user")
    teller.tell(begun[1], make.progress(1, 256, 0.5), stopped, begun[2], make.progress(2, 256, 0.5))
    teller.tell(begun[3], make.ended(3, None, "failed", "its workers were lost", ended_as="infrastructure"))
    return {name: run.info.run_id for name, run in recorded().items()}


def test_a_run_holds_all_that_a_reproduction_needs(uri: str, runs: dict[str, str], study: str) -> None:
    found = of_run(uri, runs["trial 000"], None)
    assert (found.study, found.number, found.family) == (study, 0, "families.toy")
    assert found.curve == ((256, 0.1 + 0.2), (512, 1 / 3)) and found.evaluations == (256, 512)
    assert found.metrics == {"skill": 1 / 3, "skill_rain": 1 / 6}  # exact, and without losses and seconds
    assert found.config == {"dataset": "tiny", "optimization": {"lr": 0.00012345678}}
    assert (found.metric, found.mode, found.protocol, found.ended_as) == ("skill", "max", "abc", "complete")
    told = {"device": "cpu", "world_size": "2", "num_threads": "1"}
    assert found.trained == ({"since": 0, "data_fingerprint": "c0ffee", **told},)
    assert list(found.code) == ["families/toy/task.py"]


def test_a_run_of_an_earlier_version_has_its_curve_alone(
    uri: str, runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.tracking.reading.trial_run.read_table", lambda *_: MetricTable())
    found = of_run(uri, runs["trial 000"], None)
    assert len(found.curve) == 2 and found.metrics == {}


def test_what_is_no_trial_that_ended_is_refused(uri: str, runs: dict[str, str], study: str) -> None:
    for name, told in (
        ("trial 001", "got trial 1 of .*, which trial 2 continues; take the id of that run"),
        ("trial 002", "trial 2 of .* is running; wait for it"),
        ("trial 003", "failed before: its workers were lost; mend that"),
        (f"study {study}", "which is a study; take the id of a run below the study's"),
    ):
        with pytest.raises(StudyError, match=told):
            of_run(uri, runs[name], None)


def test_an_id_that_mlflow_does_not_know_is_refused(uri: str, runs: dict[str, str]) -> None:
    with pytest.raises(StudyError, match=r"got '0{32}', which sqlite.* does not know"):
        read_trial_run(uri, "0" * 32)
    with pytest.raises(StudyError, match="got --trial 3 beside it"):
        of_run(uri, runs["trial 000"], 3)


def test_an_id_of_a_run_is_no_name_of_a_study() -> None:
    assert is_run_id("0f" * 16) and not is_run_id("ends") and not is_run_id("0F" * 16)
