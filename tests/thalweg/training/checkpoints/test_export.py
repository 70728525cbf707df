"""A checkpoint as one plain file."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import Net, ToyTask, Waves
from tests import tasks
from tests.thalweg.training.conftest import Orders
from thalweg.errors import OutputError, TrialError
from thalweg.search.space import load_space
from thalweg.search.train_one import choose, train
from thalweg.training.checkpoints.checkpoint import fp32_weights
from thalweg.training.checkpoints.export import draw, export, freeze
from thalweg.training.engine import engine
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session


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
    sums = tasks.evaluate(task, net.eval(), task.evaluation_batch(data, "val", np.arange(21)))
    assert tasks.summarize(task, sums)["mse"] == pytest.approx(content["metrics"]["mse"], rel=1e-6)


def test_exporting_is_quiet(checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export(checkpoint, tmp_path, tmp_path / "best.pt")
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="keep_checkpoints"):
        export(tmp_path / "gone", tmp_path, tmp_path / "best.pt")


def test_a_file_that_can_not_be_written_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="must be writable"):
        export(checkpoint, tmp_path, tmp_path / "nowhere" / "best.pt")


def test_frozen_weights_are_the_whole_model_and_named_by_their_hash(checkpoint: Path, tmp_path: Path) -> None:
    sha256 = freeze(checkpoint, tmp_path / "toys.pt", {"study": "toys", "trial": 3})
    content = torch.load(tmp_path / "toys.pt", weights_only=True)
    assert (content["study"], content["trial"], content["samples"]) == ("toys", 3, 32)
    net = Net(8, 0.0)
    net.load_state_dict(content["weights"])
    expected = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        expected.update(name.encode() + str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
    assert sha256 == expected.hexdigest()
    assert all(
        torch.equal(content["weights"][name], value) for name, value in fp32_weights(checkpoint).items()
    )
    assert [file.name for file in tmp_path.iterdir()] == ["toys.pt"]


def test_other_weights_have_another_hash(checkpoint: Path, tmp_path: Path) -> None:
    space = load_space("spaces.toys")
    single = choose(space, {"width": 8, "lr": 0.02}, output=tmp_path, root=tmp_path, samples=32)
    other = Path(str(train(single, lambda report: None).checkpoint))
    hashes = [freeze(folder, tmp_path / "x.pt", {}) for folder in (checkpoint, checkpoint, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_checkpoint_without_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "weights")
    with pytest.raises(TrialError, match="must hold weights"):
        freeze(tmp_path / "copy", tmp_path / "x.pt", {})
    with pytest.raises(TrialError, match="must exist"):
        freeze(tmp_path / "gone", tmp_path / "x.pt", {})


def test_frozen_weights_that_can_not_be_written_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="weights to start from must be writable"):
        freeze(checkpoint, tmp_path / "nowhere" / "x.pt", {})


class Counting(Net):
    """The toy's network beside buffers that fp32 cannot hold."""

    def __init__(self) -> None:
        super().__init__(8, 0.0)
        self.register_buffer("count", torch.tensor([2**24 + 1, 2**40 + 1]))
        self.register_buffer("seconds", torch.tensor([1.7e9 + 1], dtype=torch.float64))
        self.register_buffer("flags", torch.tensor([True, False]))


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_buffers_that_fp32_cannot_hold_keep_every_digit(
    precision: str,
    zero_stage: int,
    order: Orders,
    world: ProcessGroup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ToyTask, "build", lambda task, facts: Counting())
    opt = {"precision": precision, "zero_stage": zero_stage}
    session = Session(order(opt=opt), world, DataCache())
    folder = Path(str(session.advance().checkpoint))
    held = engine.full_weights(session._engine)  # what the next stage begins with
    session.close()
    export(folder, tmp_path, tmp_path / "best.pt")
    exported = torch.load(tmp_path / "best.pt", weights_only=True)["weights"]
    for found in (held, fp32_weights(folder), exported):
        for name, value in Counting().named_buffers():
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value), name


def test_a_family_draws_its_model_as_it_was_trained(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def draw_net(task: ToyTask, model: Net, data: Waves, folder: Path) -> None:
        assert not model.training and not torch.is_grad_enabled()
        seen.update(model.state_dict())
        (folder / "waves.png").write_bytes(str(len(data.inputs)).encode())

    monkeypatch.setattr(ToyTask, "draw", draw_net)
    assert draw(checkpoint, tmp_path, tmp_path) == [tmp_path / "waves.png"]
    weights = fp32_weights(checkpoint)
    assert all(torch.equal(seen[name], weights[name]) for name in weights)


def test_a_family_need_not_draw(checkpoint: Path, tmp_path: Path) -> None:
    assert draw(checkpoint, tmp_path, tmp_path) == []


def test_a_checkpoint_that_is_gone_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="a checkpoint must exist"):
        draw(tmp_path / "gone", tmp_path, tmp_path)
