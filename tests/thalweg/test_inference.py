"""An exported file gives the model back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from families.toy.config import Toy
from families.toy.task import Net, ToyTask
from thalweg.errors import ConfigError, DataError
from thalweg.inference import as_tensors, load, take_part


def _write(file: Path, net: nn.Module) -> None:
    facts = {"places": np.arange(3), "names": ["a", "b"], "more": {"valid": np.ones(2, bool)}}
    content = {"family": "families.toy", "config": Toy(width=8).model_dump(), "part": None}
    torch.save(content | {"data": as_tensors(facts), "weights": net.state_dict()}, file)


def test_a_model_comes_back_with_its_facts(tmp_path: Path) -> None:
    net = Net(8, 0.0)
    _write(tmp_path / "best.pt", net)
    found = load(tmp_path / "best.pt")
    inputs = torch.randn(5, 4)
    assert torch.equal(found.model(inputs), net.eval()(inputs))
    assert not found.model.training
    assert isinstance(found.task, ToyTask) and found.task.config.width == 8
    assert found.facts["places"].tolist() == [0, 1, 2] and found.facts["names"] == ["a", "b"]
    assert found.facts["more"]["valid"].dtype == torch.bool


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_anything_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "best.pt"
    if content is None:
        torch.save({"weights": {}}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"must be a file of thalweg best --export, got .*best\.pt"):
        load(file)
    with pytest.raises(DataError, match="must be a file of thalweg best"):
        load(tmp_path / "nowhere.pt")


def test_a_part_is_what_the_family_takes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyTask, "parts", lambda task: {"features": lambda model: model.body})
    net, task = Net(8, 0.0), ToyTask(Toy(width=8))
    assert take_part(task, net, "features") is net.body
    assert take_part(task, net, None) is net
    with pytest.raises(ConfigError, match="got 'tail'; try features"):
        take_part(task, Net(8, 0.0), "tail")


def test_a_family_without_parts_is_exported_whole() -> None:
    net = Net(8, 0.0)
    with pytest.raises(ConfigError, match="got 'tail'; this model has none"):
        take_part(ToyTask(Toy(width=8)), net, "tail")
