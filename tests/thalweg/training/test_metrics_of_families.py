"""A family's metrics are numbers of any kind; what is none is said before anything is trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from families.toy.task import Mean, ToyTask
from tests.thalweg.training.conftest import Orders, Run
from thalweg.errors import FamilyError
from thalweg.lanes.channel import Command
from thalweg.lanes.worker import Crew
from thalweg.training import engine
from thalweg.training.orders import Refusal, TrialOrder
from thalweg.training.process_group import World
from thalweg.training.session import DataCache, Session


def change(monkeypatch: pytest.MonkeyPatch, **metrics: Any) -> None:
    """Lets the toy call its metrics something else; `...` leaves one out."""
    original = ToyTask.summarize

    def summarize(self: ToyTask, sums: Any) -> Any:
        return {
            name: value for name, value in {**original(self, sums), **metrics}.items() if value is not ...
        }

    monkeypatch.setattr(ToyTask, "summarize", summarize)


def first_trial(order: TrialOrder) -> TrialOrder:
    """The first of a study, which evaluates the baselines."""
    return replace(order, baselines=True)


@pytest.mark.parametrize(
    "value",
    [np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor(0.5).double(), 0.5],
)
def test_a_number_of_any_library_is_taken(
    value: Any, order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    change(monkeypatch, mse=value, steps=np.int64(3), loss=7)
    reports = run(replace(first_trial(order()), evaluations=(16,)))
    assert type(reports[-1].value) is float
    assert reports[-1].value == 0.5
    assert {type(number) for number in reports[-1].metrics.values()} == {float}
    assert reports[-1].metrics["steps"] == 3.0
    assert json.loads((tmp_path / "checkpoints" / "baselines.json").read_text())["zero"]["mse"] == 0.5


@pytest.mark.parametrize("value", [np.float32("nan"), torch.tensor(float("inf")), np.ma.masked])
def test_a_number_that_is_not_finite_is_left_out(
    value: Any, order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, steps=value)
    assert "steps" not in run(replace(order(), evaluations=(16,)))[-1].metrics


WRONG = {
    "none": (None, r"got mse = None \(NoneType\)"),
    "bool": (True, r"got mse = True \(bool\)"),
    "numpy bool": (np.bool_(True), r"got mse = True \(bool"),
    "text": ("0.5", r"got mse = '0.5' \(str\)"),
    "array": (np.zeros(1), r"got mse = array\(\[0.\]\) \(ndarray\)"),
    "tensor": (torch.zeros(2), r"got mse = tensor\(.*\(Tensor\)"),
    "missing": (..., "must give every metric of `measured`, got no mse; return nan"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_number_is_named_before_the_first_step(
    kind: str, order: Orders, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, message = WRONG[kind]
    change(monkeypatch, mse=value)
    monkeypatch.setattr(engine, "start", lambda *terms: pytest.fail("training began"))
    with pytest.raises(FamilyError, match=message) as caught:
        Session(first_trial(order()), world, DataCache())
    assert "families.toy.task.ToyTask.summarize" in str(caught.value)


def test_a_metric_that_is_not_declared_is_named(
    order: Orders, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, mes=0.5)
    with pytest.raises(FamilyError, match="must give declared metrics, got mes; declare a Metric"):
        Session(first_trial(order()), world, DataCache())


def test_all_that_is_wrong_is_named_at_once_and_stops_the_study(
    order: Orders, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, mse=None, steps="up")
    answer = Crew(world).follow(Command(verb="advance", order=first_trial(order())))
    assert isinstance(answer, Refusal)
    assert answer.kind == "study"
    assert "mse = None (NoneType), steps = 'up' (str)" in answer.reason
    assert answer.details == ""


def test_a_baseline_may_do_a_part_of_the_tasks(
    order: Orders, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evaluate, summarize = ToyTask.evaluate, ToyTask.summarize

    def marked(self: ToyTask, model: torch.nn.Module, batch: Any) -> Any:
        alone = {"alone": torch.ones(1).double()} if isinstance(model, Mean) else {}
        return {**evaluate(self, model, batch), **alone}

    def partly(self: ToyTask, sums: Any) -> Any:
        found = summarize(self, sums)
        return {"mse": found["mse"]} if "alone" in sums else found

    monkeypatch.setattr(ToyTask, "evaluate", marked)
    monkeypatch.setattr(ToyTask, "summarize", partly)
    Session(first_trial(order()), world, DataCache()).close()
    found = json.loads((tmp_path / "checkpoints" / "baselines.json").read_text())
    assert (list(found["zero"]), len(found["untrained"])) == (["mse"], 5)
