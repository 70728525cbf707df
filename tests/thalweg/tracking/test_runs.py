"""What MLflow holds after events, read back through its own client."""

import json
import math
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.thalweg.tracking.conftest import Teller
from thalweg.config import FamilyConfig, parse
from thalweg.events import SCHEDULE, BaselineEvaluated, StudyEnded, TrialProgress, TrialStarted
from thalweg.study_folder import StudyFolder, baseline_name, trial_name
from thalweg.tracking import pages
from thalweg.tracking.metrics.curated import MAX_OF_FAMILY
from thalweg.tracking.metrics.metric_table import read_table
from thalweg.tracking.spool import DeliveryState

if TYPE_CHECKING:
    from mlflow.entities import Run

Recorded = Callable[[], dict[str, "Run"]]
ROOT = Path(__file__).parents[3]


def test_a_study_is_an_experiment_with_a_parent_and_a_run_for_each_trial(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.1), *make.whole(12, 0.2), StudyEnded(end="finished"))
    runs = recorded()
    assert set(runs) == {f"study {study}", "trial 000", "trial 012"}
    parent = runs.pop(f"study {study}")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}


def test_the_parent_holds_the_study_and_its_space(
    teller: Teller, make: Any, recorded: Recorded, study: str, tmp_path: Path
) -> None:
    space = tmp_path / "space.py"
    space.write_text("# what was searched")
    teller.tell(make.started(source_file=str(space)))
    parent = recorded()[f"study {study}"]
    assert parent.data.params == {"sampler": "tpe", "num_trials": "16"}
    expected = {"code": "0.1.0", "data_fingerprint": "c0ffee", "space": "quickstart", "metric": "skill"}
    assert expected.items() <= parent.data.tags.items()
    assert [file.path for file in teller.client.list_artifacts(parent.info.run_id)] == ["space.py"]


def test_every_run_names_the_data_set_that_it_reads(teller: Teller, make: Any, study: str) -> None:
    tags = {"data_set": "tiny", "data_fingerprint": "c0ffee"}
    other = replace(make.trial(1), config={"dataset": "small"}, tags={"data_fingerprint": "decaf"})
    trial = replace(make.trial(0), tags={"data_fingerprint": "c0ffee"})
    events = [make.started(tags=tags), BaselineEvaluated(name="mean", metrics={"skill": 0.1}), trial, other]
    teller.tell(*events)
    teller.tell(*events)  # MLflow keeps one of a kind
    experiment = teller.client.get_experiment_by_name(study)
    assert experiment is not None
    found = {
        run.info.run_name: [
            (each.dataset.name, each.dataset.digest)
            for each in (run.inputs.dataset_inputs if run.inputs else [])
        ]
        for run in teller.client.search_runs([experiment.experiment_id])
    }
    tiny, small = [("tiny", "c0ffee")], [("small", "decaf")]
    assert found == {f"study {study}": tiny, "baseline: mean": tiny, "trial 000": tiny, "trial 001": small}


def test_sums_by_unit_of_complete_trials_and_baselines_are_artifacts(
    teller: Teller, make: Any, recorded: Recorded, tmp_path: Path
) -> None:
    study = StudyFolder(tmp_path / "moved")
    study.units.mkdir(parents=True)
    for name in (trial_name(0), trial_name(1), baseline_name("zero")):
        study.unit_sums(name).write_bytes(name.encode())
    teller.tell(
        make.started(directory=str(study.path)),
        BaselineEvaluated(name="zero", metrics={"skill": 0.1}),
        *make.whole(0, 0.1),
        make.trial(1),
        make.ended(1, 0.3, "pruned"),
        *make.whole(2, 0.2),
    )
    found = {}
    for name, run in recorded().items():
        listed = teller.client.list_artifacts(run.info.run_id, "units")
        found[name] = [file.path for file in listed]
    assert found["trial 000"] == ["units/trial-00000.npz"]
    assert found["baseline: zero"] == ["units/baseline-zero.npz"]
    assert found["trial 001"] == found["trial 002"] == []  # stopped; nothing kept


@pytest.mark.parametrize(
    ("status", "mlflow_status"), [("complete", "FINISHED"), ("pruned", "FINISHED"), ("failed", "FAILED")]
)
def test_a_trial_ends_the_same_in_mlflow(
    teller: Teller, make: Any, recorded: Recorded, status: str, mlflow_status: str
) -> None:
    teller.tell(make.started(), make.trial(0), make.ended(0, None, status, "because"))
    run = recorded()["trial 000"]
    assert run.info.status == mlflow_status
    assert (run.data.tags["status"], run.data.tags["reason"]) == (status, "because")


def test_runs_can_be_filtered_by_why_their_trials_ended(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(
        make.started(),
        *make.whole(0, 0.2),  # an earlier version told no word
        make.trial(1),
        make.ended(1, None, "failed", "the loss must stay finite", ended_as="diverged"),
        make.trial(2),
        make.ended(2, None, "failed", "interrupted: the search was stopped", ended_as="preempted"),
        make.trial(3),
        StudyEnded(end="interrupted", signal=signal.SIGINT),
    )
    experiment = recorded()["trial 000"].info.experiment_id
    words = {0: "complete", 1: "diverged", 2: "preempted", 3: "stopped_by_user"}
    for number, word in words.items():
        (run,) = teller.client.search_runs([experiment], f"tags.ended_as = '{word}'")
        assert run.info.run_name == f"trial {number:03d}"


def test_the_filter_that_is_recommended_is_of_a_column_and_finds_what_was_not_stopped(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(
        make.started(),
        BaselineEvaluated(name="zero", metrics={"skill": 0.1}),
        *make.whole(0, 0.2),
        make.trial(1),
        make.progress(1, 512, 0.3),
        make.ended(1, 0.3, "pruned", ended_as="pruned"),
        make.trial(2),
        make.ended(2, None, "failed", "because", ended_as="infeasible"),
    )
    experiment = teller.client.get_experiment(recorded()["trial 000"].info.experiment_id)
    recommended = r"`(tags\.\w+ = 'complete')`"
    [told] = re.findall(recommended, experiment.tags["mlflow.note.content"])
    assert [told] == re.findall(recommended, (ROOT / "README.md").read_text())
    found = teller.client.search_runs([experiment.experiment_id], told)
    assert {run.info.run_name for run in found} == {"trial 000", "baseline: zero"}
    columns = json.dumps(pages.experiment_tags({"lr": 4}, "max", 0))
    assert f"tags.`{told.split()[0].removeprefix('tags.')}`" in columns


def test_a_run_of_an_earlier_version_learns_why_its_trial_ended(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.2))
    run = recorded()["trial 000"]
    teller.client.delete_tag(run.info.run_id, "ended_as")
    kept = make.kept(0, ((512, 0.2),))
    teller.tell(replace(kept, ended=replace(kept.ended, ended_as="complete")))
    again = recorded()["trial 000"]
    assert again.data.tags["ended_as"] == "complete"
    assert again.info.end_time == run.info.end_time


def test_a_trial_that_was_stopped_early_is_no_failure_and_says_what_it_is(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 512, 0.3), make.ended(0, 0.3, "pruned"))
    run = recorded()["trial 000"]
    assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "pruned")
    assert run.data.tags["mlflow.note.content"] == "pruned: stopped early after 512 samples"


def test_metrics_run_over_samples_seen(teller: Teller, make: Any, recorded: Recorded) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3), make.progress(0, 512, 0.4))
    run_id = recorded()["trial 000"].info.run_id
    for name, values in {"objective": [0.3, 0.4], "skill_rain": [0.15, 0.2], "train/lr": [0.1, 0.1]}.items():
        history = teller.client.get_metric_history(run_id, name)
        assert [(point.step, point.value) for point in history] == list(zip([256, 512], values, strict=True))


def test_seconds_are_added_up_over_a_trial(teller: Teller, make: Any, recorded: Recorded) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3), make.progress(0, 512, 0.4))
    run = recorded()["trial 000"]
    assert run.data.metrics["time/train_s"] == 4.0
    assert read_table(teller.client, run.info.run_id).at(512)["time/evaluate_s"] == 1.0


def test_a_trial_can_be_rebuilt_from_its_artifact(
    teller: Teller, make: Any, recorded: Recorded, tmp_path: Path
) -> None:
    said = replace(make.progress(0, 256, 0.3), documents={"deepspeed.json": '{"train_batch_size": 16}'})
    teller.tell(make.started(), make.trial(0, lr=0.00012345678), said)
    run_id = recorded()["trial 000"].info.run_id
    config = Path(teller.client.download_artifacts(run_id, "config.json", str(tmp_path))).read_text()
    assert parse(FamilyConfig, json.loads(config)).optimization.lr == 0.00012345678
    deepspeed = Path(teller.client.download_artifacts(run_id, "deepspeed.json", str(tmp_path))).read_text()
    assert json.loads(deepspeed) == {"train_batch_size": 16}


def test_a_metric_that_is_not_finite_does_not_harm_the_others(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    metrics = {"skill": math.nan, "skill_rain": math.inf, "skill_flow": 0.5}
    teller.tell(
        make.started(),
        make.trial(0),
        TrialProgress(number=0, samples=64, value=math.nan, metrics=metrics),
        make.ended(0, math.nan, "failed", "not finite"),
    )
    run = recorded()["trial 000"]
    assert run.data.metrics["skill_flow"] == 0.5
    assert not {"skill", "skill_rain", "objective"} & set(run.data.metrics)
    assert run.data.tags["not_finite"].startswith("objective")


def test_more_values_than_a_request_may_hold_all_arrive(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    config = {f"group.knob_{index}": index for index in range(230)}
    curves = tuple((step, {"loss/weighted": float(step), "lr": 0.1}) for step in range(1200))
    teller.tell(
        make.started(),
        TrialStarted(number=0, params={}, config=config),
        TrialProgress(number=0, samples=1200, value=1.0, metrics={}, curves=curves),
    )
    run = recorded()["trial 000"]
    assert len(run.data.params) == 230
    for name in ("loss/weighted", "train/lr"):
        assert len(teller.client.get_metric_history(run.info.run_id, name)) == 1200


def test_names_and_values_that_mlflow_refuses_are_recorded_all_the_same(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(
        make.started(),
        TrialStarted(number=0, params={"lr (log)": 0.1}, config={"note": "x" * 9000}),
        TrialProgress(number=0, samples=1, value=1.0, metrics={"RMSE [mm/day]": 2.0}),
    )
    run = recorded()["trial 000"]
    names = {run.data.tags[name]: name.removeprefix("name/") for name in run.data.tags if "name/" in name}
    assert run.data.params[names["lr (log)"]] == "0.1"
    assert run.data.metrics[names["RMSE [mm/day]"]] == 2.0


NAMES = (
    *("\u03b2\u2081", "\u03b2\u2082", "\u03b7", "\u03bb", "lr (max)", "lr [max]"),
    *("x" * 300, "x" * 299 + "y", "with/dataset", "plain"),
)


def test_names_that_look_alike_to_mlflow_are_told_apart_and_their_originals_kept(
    teller: Teller, make: Any, recorded: Recorded, tmp_path: Path
) -> None:
    params = {name: index for index, name in enumerate(NAMES)}
    alike = NAMES[: MAX_OF_FAMILY - 1]
    metrics = {name: float(index) for index, name in enumerate(alike)}
    started = TrialStarted(number=0, params=params, config={"dataset": "tiny"})
    progress = TrialProgress(number=0, samples=64, value=1.0, metrics=metrics)
    teller.tell(make.started(), started, progress)
    teller.forget()
    teller.tell(started, progress)  # the names are the same in a later session
    run = recorded()["trial 000"]
    assert sorted(run.data.params.values()) == sorted([*map(str, range(len(NAMES))), "tiny"])
    assert sorted(run.data.metrics.values()) == sorted([*range(len(alike)), 1.0])
    assert (run.data.params["plain"], run.data.params["\u03bb"]) == ("9", "3")
    original = {name.removeprefix("name/"): run.data.tags[name] for name in run.data.tags if "name/" in name}
    told = {original.get(name, name): value for name, value in run.data.params.items()}
    assert {name: told[name] for name in NAMES if name != "with/dataset"} == {
        name: str(index) for index, name in enumerate(NAMES) if name != "with/dataset"
    }
    searched = Path(teller.client.download_artifacts(run.info.run_id, "searched.json", str(tmp_path)))
    assert json.loads(searched.read_text()) == params


def test_a_metric_of_the_family_never_takes_the_objectives_place(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    metrics = {"objective": 7.0, "samples": 8.0, "time/trial_s": 9.0}
    progress = TrialProgress(number=0, samples=512, value=0.5, metrics=metrics)
    teller.tell(make.started(), make.trial(0), progress, make.ended(0, 0.5))
    recorded_metrics = recorded()["trial 000"].data.metrics
    own = [recorded_metrics[name] for name in ("objective", "samples", "time/trial_s")]
    assert own == [0.5, 512.0, 6.0]
    assert {7.0, 8.0, 9.0} <= set(recorded_metrics.values())


def test_a_space_that_asks_for_more_than_a_view_can_hold_is_recorded(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    params = {f"a knob with a name of some length number {index}": index for index in range(90)}
    teller.tell(make.started(), TrialStarted(number=0, params=params, config={}))
    assert len(recorded()["trial 000"].data.params) == 90
    tags = teller.client.get_experiment(teller.state.experiment_id).tags
    assert "number 1`" in tags["mlflow.sharedViewState.thalweg-table"]


def test_columns_grow_with_the_values_of_later_trials(teller: Teller, make: Any) -> None:
    def widths() -> dict[str, int]:
        tags = teller.client.get_experiment(teller.state.experiment_id).tags
        view = json.loads(json.loads(tags["mlflow.sharedViewState.thalweg-table"])["state"])
        found: dict[str, int] = view["columnWidths"]
        return found

    teller.tell(make.started(), TrialStarted(number=0, params={"loss": "CE", "depth": 3}, config={}))
    narrow = widths()
    teller.tell(TrialStarted(number=1, params={"loss": "cross-entropy + SupCon"}, config={}))
    assert widths()["params.`loss`"] > narrow["params.`loss`"]
    assert widths() == narrow | {"params.`loss`": widths()["params.`loss`"]}
    teller.tell(TrialStarted(number=2, params={"loss": "CE", "depth": 3}, config={}))
    assert widths()["params.`loss`"] > narrow["params.`loss`"]


def test_baselines_are_runs_that_can_be_sorted_with_the_trials(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    for more in ({}, {"rain": 0.5}):  # of a later session's family
        teller.tell(make.started(), BaselineEvaluated(name="climatology", metrics={"skill": 0.25, **more}))
    run, metrics = recorded()["baseline: climatology"], {"skill": 0.25, "rain": 0.5, "objective": 0.25}
    assert (run.info.status, run.data.metrics) == ("FINISHED", metrics)
    assert len(teller.client.get_metric_history(run.info.run_id, "skill")) == 1


def test_the_parent_counts_trials_and_knows_the_best_complete_one(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    teller.tell(make.started(mode="min"), *make.whole(0, 0.3), *make.whole(1, 0.2))
    teller.tell(make.trial(2), make.ended(2, 0.1, "pruned"), make.trial(3), make.ended(3, None, "failed"))
    parent = recorded()[f"study {study}"]
    counts = {name: parent.data.metrics[f"trials/{name}"] for name in ("complete", "pruned", "failed")}
    assert counts == {"complete": 2, "pruned": 1, "failed": 1}
    assert parent.data.metrics["best_objective"] == 0.2
    assert parent.data.tags["best_trial"] == "trial 001"


def test_a_promoted_trial_counts_once(teller: Teller, make: Any, recorded: Recorded, study: str) -> None:
    tags = {"continues": "0", "promoted_after": "256"}
    on = replace(make.trial(1), tags=tags)
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3), make.ended(0, 0.3, "pruned"), on)
    teller.tell(make.ended(1, 0.2), StudyEnded(end="finished", switches={"1": 1.5}))
    metrics = recorded()[f"study {study}"].data.metrics
    assert (metrics["trials/pruned"], metrics["trials/complete"]) == (0, 1)
    assert (metrics["trials/promoted"], metrics["time/switch_s"]) == (1, 1.5)
    assert recorded()["trial 001"].data.tags.items() >= tags.items()


def test_an_heir_is_linked_with_its_parent_and_holds_its_schedule(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    segments = [
        {"trial": 0, "from": 0, "to": 256, "params": {"a": 1, "b": 2, "lr": 0.1, "kind": "a", "on": True}},
        {"trial": 2, "from": 256, "to": 256, "params": {"a": 1, "b": 2, "lr": 0.08, "kind": "a", "on": True}},
    ]
    tags = {"parent": "0", "parent_samples": "256", "replaces": "1"}
    heir = replace(make.trial(2), tags=tags, documents={SCHEDULE: json.dumps(segments)})
    why = "replaced: it is among the worst 1 of 2; trial 2 continues trial 0 in its place"
    teller.tell(
        make.started(), *make.whole(0, 0.3), make.trial(1), make.ended(1, 0.9, "pruned", reason=why), heir
    )
    teller.tell(make.ended(2, 0.2), StudyEnded(end="finished"))
    runs = recorded()
    run, parent = runs["trial 002"], runs["trial 000"]
    assert run.data.tags.items() >= tags.items()
    assert run.data.tags["parent_run"] == parent.info.run_id
    assert run.data.tags["replaced_run"] == runs["trial 001"].info.run_id
    points = teller.client.get_metric_history(run.info.run_id, "schedule/lr")
    assert [(point.step, point.value) for point in points] == [(0, 0.1), (256, 0.08)]
    shown = {name for name in run.data.metrics if name.startswith("schedule/")}
    assert shown == {"schedule/lr", "schedule/a"}  # what changes first, and no more than there is room for
    assert runs["trial 001"].data.tags["reason"] == why
    counts = runs[f"study {study}"].data.metrics
    assert (counts["trials/complete"], counts["trials/pruned"]) == (2, 0)


def test_an_interrupted_trial_has_not_failed(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    ended = make.ended(0, 0.3, "failed", reason="interrupted: the search was stopped")
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3), ended)
    run = recorded()["trial 000"]
    assert (run.info.status, run.data.tags["status"]) == ("KILLED", "interrupted")
    assert run.data.tags["mlflow.note.content"] == "interrupted: the search was stopped"
    assert recorded()[f"study {study}"].data.metrics["trials/failed"] == 0


def test_telling_everything_twice_changes_nothing(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    def content() -> dict[str, Any]:
        return {name: (run.data.metrics, run.data.params) for name, run in recorded().items()}

    def history() -> list[tuple[int, float]]:
        points = teller.client.get_metric_history(recorded()["trial 000"].info.run_id, "time/train_s")
        return [(point.step, point.value) for point in points]

    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.1), make.progress(0, 512, 0.2))
    teller.tell(make.ended(0, 0.2), make.trial(1), make.progress(1, 256, 0.2))
    before = content(), history()
    teller.state.open.clear()
    teller.forget()
    teller.runs.apply(teller.moments)
    assert (content(), history()) == before


def test_a_continued_study_keeps_its_parent_and_its_trials(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.1), StudyEnded(end="interrupted"))
    before = {name: run.info.run_id for name, run in recorded().items()}
    teller.forget()
    teller.tell(make.started(finished_trials=1), *make.whole(1, 0.2), StudyEnded(end="finished"))
    after = recorded()
    assert before.items() <= {name: run.info.run_id for name, run in after.items()}.items()
    assert after[f"study {study}"].info.status == "FINISHED"
    assert after[f"study {study}"].data.metrics["trials/complete"] == 2


def test_a_continued_study_is_found_by_its_folder_where_the_state_is_lost(
    teller: Teller, make: Any, recorded: Recorded, study: str
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.1), StudyEnded(end="interrupted"))
    before = recorded()[f"study {study}"].info.run_id
    teller.state = DeliveryState()
    teller.forget()
    teller.tell(make.started(finished_trials=1))
    assert recorded()[f"study {study}"].info.run_id == before


def test_a_study_begun_anew_under_the_same_name_gets_a_parent_of_its_own(
    teller: Teller, make: Any, study: str
) -> None:
    teller.tell(make.started(), *make.whole(0, 0.1), StudyEnded(end="finished"))
    first = teller.state.parent_id
    teller.state = DeliveryState()
    teller.forget()
    teller.tell(make.started(), *make.whole(0, 0.9))
    assert teller.state.parent_id != first
    assert teller.client.get_run(first).data.metrics["best_objective"] == 0.1


def test_runs_that_a_killed_driver_left_are_ended_when_the_study_is_continued(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3))
    teller.forget()
    teller.tell(make.started())
    run = recorded()["trial 000"]
    assert run.info.status == "KILLED"
    assert "ended before the trial did" in run.data.tags["reason"]


def test_a_trial_that_is_taken_up_again_goes_on_in_its_run(
    teller: Teller, make: Any, recorded: Recorded
) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3))
    teller.forget()
    teller.tell(make.started(), make.trial(0))
    assert recorded()["trial 000"].info.status == "RUNNING"
    teller.tell(make.progress(0, 512, 0.4), make.ended(0, 0.4))
    run = recorded()["trial 000"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["time/train_s"] == 4.0


@pytest.mark.parametrize(
    ("end", "status"), [("finished", "FINISHED"), ("interrupted", "KILLED"), ("failed", "FAILED")]
)
def test_nothing_stays_running_when_a_study_ends(
    teller: Teller, make: Any, recorded: Recorded, study: str, end: Any, status: str
) -> None:
    teller.tell(make.started(), make.trial(0), StudyEnded(end=end, rung_correlations={"512": 0.9}))
    runs = recorded()
    assert runs[f"study {study}"].data.metrics["rung_correlation/512"] == 0.9
    assert runs[f"study {study}"].info.status == status
    assert runs["trial 000"].info.status == "KILLED"
