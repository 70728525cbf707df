"""The outline of a family: parts of its model and metrics."""

import pytest
import torch
from torch import Tensor, nn

from families.toy.config import Toy
from families.toy.task import Net, ToyTask
from thalweg import discovery
from thalweg.analysis.outline import Outline, outline, parts
from thalweg.contract import metrics_of


def test_parts_are_the_children_of_the_model_and_nothing_is_allocated() -> None:
    family = discovery.load_family("families.toy")
    counts = parts(family, family.preset("wide"))
    net = Net(32, 0.0)
    assert counts == {
        name: sum(p.numel() for p in child.parameters()) for name, child in net.named_children()
    }


class Tied(nn.Module):
    """A model with a weight of its own, and one that two parts share."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=True)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Does nothing."""
        return inputs


def test_a_shared_weight_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    family = discovery.load_family("families.toy")
    monkeypatch.setattr(type(family.task(family.preset("default"))), "build", lambda task, facts: Tied())
    counts = parts(family, family.preset("default"))
    assert counts == {"(own)": 3, "first": 16, "second": 4}


def test_an_outline_counts_and_lists_and_stays_the_same_on_paper() -> None:
    family = discovery.load_family("families.toy")
    found = outline(family, family.preset("wide"))
    assert sum(found.parts.values()) == sum(weight.numel() for weight in Net(32, 0.0).parameters())
    assert found.metrics == metrics_of(ToyTask(Toy(width=32)))
    assert Outline.model_validate_json(found.model_dump_json()) == found
