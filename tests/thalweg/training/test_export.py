"""A checkpoint as one plain file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import Net, ToyTask
from thalweg.errors import OutputError, TrialError
from thalweg.search.single import choose, train
from thalweg.search.space import load_space
from thalweg.training.export import export


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a short training."""
    folder = tmp_path_factory.mktemp("export")
    space = load_space("spaces.toys")
    single = choose(space, {"width": 8, "lr": 0.01}, output=folder, root=folder, samples=32)
    return Path(str(train(single, lambda report: None).checkpoint))


def test_exported_weights_give_the_recorded_metric(checkpoint: Path, tmp_path: Path) -> None:
    sizes = export(checkpoint, tmp_path, tmp_path / "best.pt")
    content = torch.load(tmp_path / "best.pt", weights_only=True)
    config = Toy.model_validate(content["config"])
    net = Net(config.width, config.dropout)
    net.load_state_dict(content["weights"])
    assert sizes == {"tensors": 4, "values": sum(p.numel() for p in net.parameters())}
    task = ToyTask(config)
    data = task.open(tmp_path)
    sums = task.evaluate(net.eval(), task.evaluation_batch(data, "val", np.arange(21)))
    assert task.summarize(sums)["mse"] == pytest.approx(content["metrics"]["mse"], rel=1e-6)


def test_exporting_is_quiet(checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export(checkpoint, tmp_path, tmp_path / "best.pt")
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="keep_checkpoints"):
        export(tmp_path / "gone", tmp_path, tmp_path / "best.pt")


def test_a_file_that_can_not_be_written_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="must be writable"):
        export(checkpoint, tmp_path, tmp_path / "nowhere" / "best.pt")
