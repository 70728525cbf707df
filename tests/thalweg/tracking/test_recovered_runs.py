"""What MLflow lacks or holds wrongly is taken from the storage, or put right."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.thalweg.tracking.conftest import Teller
from thalweg.events import StudyEnded, TrialStarted
from thalweg.tracking.metrics.metric_table import read_table

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Recorded = Callable[[], dict[str, "Run"]]


def content(run: "Run") -> tuple[Any, ...]:
    told = {name: value for name, value in run.data.tags.items() if name in ("status", "reason", "seed")}
    return run.info.status, run.data.params, run.data.metrics, told


def histories(client: "MlflowClient", run: "Run") -> dict[str, list[tuple[int, float]]]:
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


@pytest.mark.parametrize(
    "lost", [slice(2, 3), slice(1, 3), slice(0, 3)], ids=["its end", "all but its beginning", "wholly"]
)
@pytest.mark.parametrize("status", ["complete", "pruned", "failed"])
def test_what_a_dying_driver_did_not_tell_of_a_trial_is_taken_from_the_storage(
    teller: Teller, make: Any, recorded: Recorded, study: str, lost: slice, status: Any
) -> None:
    whole = [make.trial(0), make.progress(0, 512, 0.5), make.ended(0, 0.5, status, "because")]
    told = [event for event in whole if event not in whole[lost]]
    teller.tell(make.started(), *told)
    teller.forget()
    teller.tell(make.started(finished_trials=1), make.kept(0, ((512, 0.5),), status, "because"))
    got = recorded()
    run = got["trial 000"]
    assert run.info.status == {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}[status]
    assert (run.data.tags["status"], run.data.tags["reason"]) == (status, "because")
    assert run.data.params["lr"] == "0.00012346"
    assert histories(teller.client, run)["objective"] == [(512, 0.5)]
    assert run.data.metrics["skill_rain"] == 0.25
    assert got[f"study {study}"].data.metrics[f"trials/{status}"] == 1


def test_what_the_storage_says_is_told_once_and_changes_nothing_that_is_whole(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.5))
    before = content(recorded()["trial 000"]), histories(teller.client, recorded()["trial 000"])
    for _ in range(2):
        teller.forget()
        teller.tell(make.started(finished_trials=1), make.kept(0, ((512, 0.5),)))
        after = content(recorded()["trial 000"]), histories(teller.client, recorded()["trial 000"])
        assert after == before


@pytest.mark.parametrize("what", ["trial 000", "study"])
def test_a_run_that_somebody_deleted_is_back_and_ends_as_the_storage_says(
    teller: Teller, make: Any, recorded: Recorded, study: str, what: str
) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3))
    name = f"study {study}" if what == "study" else what
    teller.client.delete_run(recorded()[name].info.run_id)
    assert teller.runs.known.exist()
    teller.tell(make.progress(0, 512, 0.5), make.ended(0, 0.5))
    teller.client.delete_run(recorded()[name].info.run_id)
    teller.tell(make.kept(0, ((256, 0.3), (512, 0.5))), StudyEnded(end="finished"))
    runs = recorded()
    assert set(runs) == {"trial 000", f"study {study}"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert histories(teller.client, runs["trial 000"])["objective"] == [(256, 0.3), (512, 0.5)]


def test_a_status_that_was_written_over_in_mlflow_is_put_right(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.5))
    teller.client.set_terminated(recorded()["trial 000"].info.run_id, "KILLED")
    teller.tell(make.kept(0, ((512, 0.5),)))
    assert recorded()["trial 000"].info.status == "FINISHED"


def test_a_continued_trial_holds_every_metric_from_its_beginning(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    stopped = make.ended(0, 0.3, "failed", "interrupted: the search was stopped")
    teller.tell(make.started(), make.trial(0), make.progress(0, 258, 0.3), stopped)
    teller.forget()
    for number, samples, value in ((1, 386, 0.4), (2, 512, 0.5)):  # interrupted twice
        inherited = [(256, 0.3), (384, 0.4)][:number]
        teller.tell(
            make.started(finished_trials=1),
            replace(make.trial(number), tags={"continues": str(number - 1)}),
            *(make.inherited(number, *point) for point in inherited),
            make.progress(number, samples, value),
        )
        teller.forget()
    curves = histories(teller.client, recorded()["trial 002"])
    steps = [258, 386, 512]
    for name in ("objective", "skill", "skill_rain", "train/lr", "time/train_s"):
        assert [step for step, _ in curves[name]] == steps, name
    assert curves["skill_rain"] == list(zip(steps, [0.15, 0.2, 0.25], strict=True))
    assert curves["time/train_s"] == list(zip(steps, [2.0, 4.0, 6.0], strict=True))
    table = read_table(teller.client, recorded()["trial 002"].info.run_id)
    assert [table.at(step)["loss/rain"] for step in steps] == [1.0] * 3


def test_an_experiment_that_was_deleted_is_restored(teller: Teller, make: Any, recorded: Recorded) -> None:
    teller.tell(make.started(), *make.whole(0, 0.1))
    teller.client.delete_experiment(teller.state.experiment_id)
    teller.forget()
    teller.tell(make.started(finished_trials=1))
    assert "trial 000" in recorded()


def test_a_setting_that_only_some_trials_have_joins_the_views(teller: Teller, make: Any) -> None:
    teller.tell(make.started(), make.trial(0))
    teller.tell(TrialStarted(number=1, params={"lr": 0.1, "gates": 2}, config={}))
    tags = teller.client.get_experiment(teller.state.experiment_id).tags
    assert "params.`gates`" in tags["mlflow.sharedViewState.thalweg-table"]
