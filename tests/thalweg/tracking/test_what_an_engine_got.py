"""A result on its whole way: from a worker's session through lane, adapters, controller and spool into MLflow."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ray.tune.experiment import Trial

from thalweg.config import parse
from thalweg.events import Event, StudyEnded, TrialProgress
from thalweg.lanes.lane import Lane, LaneSettings
from thalweg.lanes.resources import Gang
from thalweg.lanes.trainable import LaneTrainable
from thalweg.search.controller import StudyController
from thalweg.search.preflight import prepare
from thalweg.search.run import describe
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.tune_adapters import StudyScheduler, StudySearcher
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import DeliveryState, Moment
from thalweg.training.engine import deepspeed_config, engine
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session

if TYPE_CHECKING:
    from mlflow import MlflowClient


class HereLane(Lane):
    """A lane whose only worker is this process."""

    def __init__(self) -> None:
        self.name, self.deaths = "lane-here", []
        self._session: Session | None = None

    def advance(self, order: TrialOrder, reached: int) -> Report:
        """Trains to the next evaluation."""
        self._session = self._session or Session(order, join(), DataCache())
        return self._session.advance(reached)

    def stop(self) -> None:
        """Frees the trial."""
        if self._session is not None:
            self._session.close()


class HereTrial(Trial):
    """A trial as Tune hands it to a scheduler."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.trial_id, self.config = "here", config
        run_metadata: Any = SimpleNamespace(num_failures=0)
        self.run_metadata = run_metadata


def searched(folder: Path) -> list[Event]:
    """Trains the first trial of the toys to its end; returns what listeners hear."""
    space, events = load_space("spaces.toys"), list[Event]()
    prepared = prepare(space, folder / "data")
    ledger = Ledger.open(folder / "study", "toys", space)
    controller = StudyController(
        ledger,
        events.append,
        num_lanes=1,
        describe=lambda proposal: describe(prepared, proposal, ledger.starting_points),
    )
    config = StudySearcher(controller).suggest("here")
    lane = LaneTrainable.__new__(LaneTrainable)  # without the workers that `setup` starts
    lane._settings = LaneSettings(
        gang=Gang(1, 1.0, 0.0),
        family=prepared.family,
        metric="mse",
        evaluations=space.study.evaluations,
        data_root=str(prepared.data_root),
        directory=str(folder / "study"),
        study=controller.study,
    )
    lane._lane = HereLane()
    lane._take(config)
    scheduler, done = StudyScheduler(controller), False
    while not done:
        result = lane.step()
        scheduler.on_trial_result(None, HereTrial(config), result)
        done = result["done"]
    lane._lane.stop()
    controller.close()
    ledger.close()
    return events


@pytest.mark.slow
def test_mlflow_holds_the_json_that_the_engine_was_given(
    client: "MlflowClient",
    make: Any,
    recorded: Callable[[], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true = deepspeed_config.deepspeed_config
    monkeypatch.setattr(engine, "deepspeed_config", lambda *given: {**true(*given), "steps_per_print": 4321})
    events = searched(tmp_path)
    lines = [Moment(2_000 + number, event).line() for number, event in enumerate(events)]
    started = make.started(metric="mse", mode="min")
    moments = [Moment(1_000, started), *map(Moment.parse, lines), Moment(9_000, StudyEnded(end="finished"))]
    StudyRuns(client, DeliveryState(), tmp_path / "mlartifacts").apply(moments)

    run = recorded()["trial 000"]

    def artifact(name: str) -> Any:
        return json.loads(Path(client.download_artifacts(run.info.run_id, name, str(tmp_path))).read_text())

    given = artifact("deepspeed.json")
    assert (given["steps_per_print"], given["train_batch_size"]) == (4321, 8)
    assert given["optimizer"]["params"]["lr"] == 1e-2
    config_type = load_space("spaces.toys").config_type
    config = parse(config_type, artifact("config.json"))
    assert config.optimization.lr == 1e-2
    assert run.data.params["with/optimization.lr"] == "0.01"
    assert {
        "micro_batch_size": "8",
        "accumulation": "1",
        "lane": "lane-here",
    }.items() <= run.data.tags.items()
    told = [event for event in events if isinstance(event, TrialProgress)]
    assert [event.samples for event in told] == [64, 128, 192, 256]
    assert [list(event.documents) for event in told] == [["deepspeed.json"], [], [], []]
    assert run.data.metrics["objective"] == run.data.metrics["mse"] == told[-1].value
    assert run.data.metrics["cost/num_parameters"] > 0
