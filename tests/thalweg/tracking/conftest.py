"""One SQLite database for all tests of tracking, and the events of a small study."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thalweg.events import Event, StudyStarted, TrialEnded, TrialKept, TrialProgress, TrialStarted
from thalweg.tracking import recorder
from thalweg.tracking.environment import QUIET
from thalweg.tracking.history import History
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import DeliveryState, Moment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delivers from the first event on."""
    monkeypatch.setattr(recorder, "_HEAD_START_S", 0.0)


class Teller:
    """Tells MLflow events, each stamped once, and can tell them again."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.state = DeliveryState()
        self.moments: list[Moment] = []
        self.runs = StudyRuns(client, self.state, folder, History(lambda: self.moments))

    def tell(self, *told: Event) -> None:
        fresh = [Moment(1_000 + len(self.moments) + index, event) for index, event in enumerate(told)]
        self.moments += fresh
        self.runs.apply(fresh)

    def forget(self) -> None:
        """What a new process knows that finds the state of the last one."""
        self.runs = StudyRuns(self.client, self.state, self.folder, History(lambda: self.moments))


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a database that is created once, which takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def client(uri: str) -> MlflowClient:
    """A client of the shared database; each test records a study of its own name."""
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow's own imports deprecate
        from mlflow import MlflowClient

        return MlflowClient(uri)


@pytest.fixture(scope="session")
def whole(uri: str, client: MlflowClient) -> Path:
    """A database without studies, to be copied by tests that need one of their own and not its making."""
    client.search_experiments(max_results=1)  # makes the shared database
    path = Path(uri.removeprefix("sqlite:///"))
    return Path(shutil.copy(path, path.with_name("whole.db")))


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A study's name, unlike those of the other tests."""
    return str(request.node.name)


class Events:
    """Makes the events of a study about rain."""

    def __init__(self, study: str, folder: Path) -> None:
        self.study = study
        self.folder = folder

    def started(self, **changes: Any) -> StudyStarted:
        fields: dict[str, Any] = {
            "study": self.study,
            "space": "quickstart",
            "family": "water_mae",
            "metric": "skill",
            "mode": "max",
            "num_trials": 16,
            "samples": 512,
            "num_lanes": 1,
            "num_workers": 1,
            "directory": str(self.folder),
            "definition": {"sampler": "tpe", "num_trials": 16},
            "tags": {"code": "0.1.0", "data_fingerprint": "c0ffee"},
        }
        return StudyStarted(**(fields | changes))

    def trial(self, number: int, lr: float = 0.00012345678) -> TrialStarted:
        return TrialStarted(
            number=number,
            params={"lr": lr},
            config={"dataset": "tiny", "optimization.lr": lr, "optimization.batch_size": 16},
            tags={"seed": "3", "protocol": "abc"},
            documents={"config.json": json.dumps({"dataset": "tiny", "optimization": {"lr": lr}})},
        )

    def progress(self, number: int, samples: int, value: float) -> TrialProgress:
        return TrialProgress(
            number=number,
            samples=samples,
            value=value,
            metrics={"skill": value, "skill_rain": value / 2},
            curves=((samples, {"loss/rain": 1.0, "lr": 0.1}),),
            timings={"train_s": 2.0, "evaluate_s": 0.5},
        )

    def ended(
        self, number: int, value: float | None, status: Any = "complete", reason: str = "", **more: Any
    ) -> TrialEnded:
        fields = {"samples": 512, "seconds": 6.0, "reason": reason, **more}
        return TrialEnded(number=number, status=status, value=value, **fields)

    def inherited(self, number: int, samples: int, value: float) -> TrialProgress:
        """An evaluation that comes with the checkpoint of the trial that is continued."""
        return TrialProgress(number=number, samples=samples, value=value, metrics={"skill": value})

    def kept(
        self, number: int, curve: Any, status: Any = "complete", reason: str = "", **began: Any
    ) -> TrialKept:
        value = curve[-1][1]
        return TrialKept(
            began=replace(self.trial(number), documents={}, **began),
            curve=curve,
            metrics={"skill": value, "skill_rain": value / 2},
            ended=self.ended(number, value, status, reason),
            began_ms=1_000,
            ended_ms=2_000,
        )

    def whole(self, number: int, value: float) -> list[Event]:
        """A trial from its beginning to its end."""
        return [self.trial(number), self.progress(number, 512, value), self.ended(number, value)]


@pytest.fixture
def make(study: str, tmp_path: Path) -> Events:
    """Makes events of this test's study."""
    return Events(study, tmp_path / "study")


@pytest.fixture
def recorded(client: MlflowClient, study: str) -> Callable[[], dict[str, Run]]:
    """Returns this test's runs by name; fails where a name comes twice."""

    def read() -> dict[str, Run]:
        experiment = client.get_experiment_by_name(study)
        assert experiment is not None
        found = list(client.search_runs([experiment.experiment_id]))
        by_name = {run.info.run_name: run for run in found}
        assert len(by_name) == len(found)
        return by_name

    return read


@pytest.fixture
def teller(client: MlflowClient, tmp_path: Path) -> Teller:
    return Teller(client, tmp_path / "mlartifacts")
