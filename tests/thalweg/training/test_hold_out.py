"""A checkpoint on the split that selected nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import Mean, Net, ToyTask, Waves
from thalweg.contract import SplitName
from thalweg.errors import DataError, TrialError
from thalweg.search.space import load_space
from thalweg.search.train_one import choose, train
from thalweg.study_folder import StudyFolder, baseline_name, trial_name
from thalweg.training import unit_sums
from thalweg.training.checkpoints.checkpoint import fp32_weights
from thalweg.training.hold_out import evaluate
from thalweg.training.messages import Report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The last report of a short training."""
    folder = tmp_path_factory.mktemp("held-out")
    space = load_space("spaces.toys")
    single = choose(space, {"width": 8, "lr": 0.01}, output=folder, root=folder, samples=32)
    return train(single, lambda report: None)


def by_hand(model: torch.nn.Module, split: SplitName) -> float:
    """Evaluates one sample after another with numpy."""
    data, task = Waves(), ToyTask(Toy())
    first, second = [], []
    for number in range(data.num_samples(split)):
        batch = task.evaluation_batch(data, split, np.array([number]))
        error = (model(batch["inputs"]) - batch["targets"]).detach().numpy().astype(float)[0] ** 2
        first.append(error[0])
        if batch["present"][0]:
            second.append(error[1])
    return float((np.mean(first) + np.mean(second)) / 2)


@pytest.mark.slow
def test_a_checkpoint_and_the_baselines_are_evaluated_on_test(report: Report, tmp_path: Path) -> None:
    net = Net(8, 0.0)
    net.load_state_dict(fp32_weights(Path(str(report.checkpoint))))
    found = evaluate(Path(str(report.checkpoint)), tmp_path)
    assert found.test["mse"] == pytest.approx(by_hand(net.eval(), "test"), rel=1e-5)
    assert found.baselines["zero"]["mse"] == pytest.approx(by_hand(Mean(), "test"), rel=1e-5)
    assert (found.val, found.samples) == (report.metrics, 32)
    assert found.val["mse"] == pytest.approx(by_hand(net, "val"), rel=1e-5)
    assert evaluate(Path(str(report.checkpoint)), tmp_path) == found


@pytest.mark.slow
def test_sums_by_unit_on_test_give_its_metrics_again(report: Report, tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "toys.confirm")
    checkpoint = Path(str(report.checkpoint))
    found = evaluate(checkpoint, tmp_path, name=trial_name(3), units=study.test_unit_sums)
    (measure,) = ToyTask(Toy()).measures()
    for name, metrics in {trial_name(3): found.test, baseline_name("zero"): found.baselines["zero"]}.items():
        kept = unit_sums.read(study.test_unit_sums(name))
        assert measure.summarize(kept.of(measure))["mse"] == metrics["mse"]
        assert len(kept.of(measure)["errors"]) == Waves().num_samples("test")
    assert unit_sums.read(study.test_unit_sums(trial_name(3))).samples == 32
    assert not study.units.exists()  # those on validation are others


def test_what_test_cannot_give_is_told(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyTask, "unmeasured", lambda task, data, split: {"mse": f"{split} is too short"})
    assert evaluate(Path(str(report.checkpoint)), tmp_path).unmeasured == {"mse": "test is too short"}


def test_data_without_a_test_split_are_refused(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waves, "num_samples", lambda self, split: {"train": 96, "val": 24, "test": 0}[split])
    with pytest.raises(
        DataError,
        match=r"must have a split test to be reported on, got none in 'waves'; .*--option test=",
    ):
        evaluate(Path(str(report.checkpoint)), tmp_path)


def test_a_checkpoint_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"must exist to be read.*keep_checkpoints"):
        evaluate(tmp_path / "gone", tmp_path)
