"""What a trial was at the end of a stage, kept with its checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg.stage_contract import Stage
from thalweg.training.checkpoints import milestones
from thalweg.training.checkpoints.milestones import Milestones
from thalweg.training.checkpoints.state import damage
from thalweg.training.messages import Report, TrialOrder, named_by_stage, stages_of
from thalweg.training.process_group import join
from thalweg.training.schedule import Plan
from thalweg.training.session import DataCache, Session

STAGES = ToyTask(Toy(stages="two")).stages()
WEIGHTS = {"body.0.weight": torch.ones(2), "head.weight": torch.zeros(3), "head.bias": torch.ones(1)}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy family tells what it is before its head trains alone."""

    def stages(task: ToyTask) -> tuple[Stage, ...]:
        return (replace(STAGES[0], compared=True), STAGES[1])

    monkeypatch.setattr(ToyTask, "stages", stages)


def order(folder: Path, evaluations: tuple[int, ...] = (16, 32, 48, 64)) -> TrialOrder:
    return TrialOrder(
        trial="trial",
        family="families.toy",
        config=Toy(stages="two").model_dump(mode="json"),
        metric="mse",
        evaluations=evaluations,
        data_root=str(folder),
        directory=str(folder),
        keep_last=9,
    )


def finish(session: Session, reached: int = 0) -> list[Report]:
    reports: list[Report] = []
    while not (reports and reports[-1].done):
        reports.append(session.advance(reports[-1].samples if reports else reached))
    session.close()
    return reports


def test_weights_that_later_stages_train_are_kept_of_a_stage_that_is_compared(tmp_path: Path) -> None:
    found = Milestones()
    found.reach(Plan.lay(STAGES, 64), 0, {"mse": 1.0}, WEIGHTS)
    found.write(tmp_path)
    assert (found.metrics, found.weights, [*tmp_path.iterdir()]) == ({}, {}, [])
    assert milestones.read(tmp_path) == {}
    found.reach(Plan.lay((replace(STAGES[0], compared=True), STAGES[1]), 64), 0, {"mse": 1.0}, WEIGHTS)
    found.write(tmp_path)
    assert found.metrics == {"all": {"mse": 1.0}}
    read = milestones.read(tmp_path)["all"]
    assert read.keys() == {"head.weight", "head.bias"}
    assert all(torch.equal(value, WEIGHTS[name]) for name, value in read.items())


def test_metrics_of_a_stage_are_recorded_under_its_name() -> None:
    stages = {"fit": {"mse": 1.0, "rmse": 1.0}, "align": {"mse": 2.0}}
    report = Report(
        samples=8, samples_seen=8, value=0.5, metrics={"mse": 0.5}, costs={"epoch_s": 3.0}, stages=stages
    )
    assert report.measured == {
        "mse": 0.5,
        "after_fit/mse": 1.0,
        "after_fit/rmse": 1.0,
        "after_align/mse": 2.0,
        "cost/epoch_s": 3.0,
    }
    assert stages_of(report.measured) == stages
    assert stages_of(named_by_stage(stages)) == stages


@pytest.mark.slow
@pytest.mark.usefixtures("compared")
def test_a_trial_tells_what_it_was_before_and_goes_on_doing_so_after_a_stop(tmp_path: Path) -> None:
    reports = finish(Session(order(tmp_path), join(), DataCache()))
    assert [report.stages for report in reports] == [{}, {}, *[{"all": reports[1].metrics}] * 2]
    folders = [Path(str(report.checkpoint)) for report in reports]
    assert [(folder / milestones.FILE).exists() for folder in folders] == [False, False, True, True]
    for folder in folders[3:]:  # as if the process had died before its last evaluation
        for file in sorted(folder.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        folder.rmdir()
    again = finish(Session(order(tmp_path), join(), DataCache()), 48)
    assert again[-1].stages == reports[-1].stages
    assert again[-1].metrics == pytest.approx(reports[-1].metrics)
    kept = [milestones.read(Path(str(folder)))["all"] for folder in (folders[2], again[-1].checkpoint)]
    assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())
    (folders[2] / milestones.FILE).write_bytes(b"damaged")
    assert milestones.FILE in damage(folders[2])


@pytest.mark.slow
def test_nothing_is_kept_of_stages_that_are_not_compared(tmp_path: Path) -> None:
    reports = finish(Session(order(tmp_path, (64,)), join(), DataCache()))
    assert reports[-1].stages == {}
    assert not (Path(str(reports[-1].checkpoint)) / milestones.FILE).exists()


def test_a_report_without_a_checkpoint_has_no_milestones() -> None:
    assert Milestones.of(None).weights == {}
