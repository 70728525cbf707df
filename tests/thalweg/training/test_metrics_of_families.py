"""A family's metrics are numbers of any kind; what is none is said before anything is trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from families.toy.task import Errors, Mean, ToyTask
from tests.thalweg.training.conftest import Orders, Run
from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.errors import FamilyError, NonFiniteError, UndefinedError
from thalweg.lanes.channel import Command
from thalweg.lanes.worker import Crew
from thalweg.training.engine import engine
from thalweg.training.messages import Refusal, TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session


def change(monkeypatch: pytest.MonkeyPatch, **metrics: Any) -> None:
    """Lets the toy call its metrics something else; `...` leaves one out."""
    original = Errors.summarize

    def summarize(self: Errors, state: Any) -> Any:
        return {
            name: value for name, value in {**original(self, state), **metrics}.items() if value is not ...
        }

    monkeypatch.setattr(Errors, "summarize", summarize)


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


def test_an_objective_without_a_value_beside_other_metrics_is_no_divergence(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, mse=float("nan"), steps=3)
    with pytest.raises(
        UndefinedError,
        match=r"mse, the objective, must have a value .* after 16 samples, where \d+ other metrics? ",
    ):
        run(replace(order(), evaluations=(16,)))


def test_metrics_none_of_which_is_finite_are_a_divergence(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "_evaluate", lambda *keep: {})
    with pytest.raises(
        NonFiniteError, match="mse must be finite, got another value after 16 samples; lower lr"
    ):
        run(replace(order(), evaluations=(16,)))


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
    "missing": (..., "must give every metric that it declares, got no mse; return nan"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_number_is_named_before_the_first_step(
    kind: str, order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, message = WRONG[kind]
    change(monkeypatch, mse=value)
    monkeypatch.setattr(engine, "start", lambda *terms: pytest.fail("training began"))
    with pytest.raises(FamilyError, match=message) as caught:
        Session(first_trial(order()), world, DataCache())
    assert "families.toy.task.Errors" in str(caught.value)


def test_a_metric_that_is_not_declared_is_named(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, mes=0.5)
    with pytest.raises(FamilyError, match="must give declared metrics, got mes; declare a Metric"):
        Session(first_trial(order()), world, DataCache())


def test_all_that_is_wrong_is_named_at_once_and_stops_the_study(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, mse=None, steps="up")
    answer = Crew(world).follow(Command(verb="advance", order=first_trial(order())))
    assert isinstance(answer, Refusal)
    assert answer.kind == "study"
    assert "mse = None (NoneType), steps = 'up' (str)" in answer.reason
    assert answer.details == ""


def test_a_baseline_may_do_a_part_of_the_tasks(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measures, predict = ToyTask.measures, ToyTask.predict

    class Bias(Measure):
        metrics = (
            Metric(name="bias", mode="min", unit="1", search_invariant=False, meaning="Mean of the first."),
        )

        def add(self, outputs: Outputs, batch: Batch) -> State:
            return {"sum": outputs["bias"].sum()} if "bias" in outputs else {}

        def summarize(self, state: State) -> dict[str, float]:
            return {"bias": float(state["sum"])}

    def both(self: ToyTask, model: torch.nn.Module, batch: Batch) -> Outputs:
        found = predict(self, model, batch)
        return found if isinstance(model, Mean) else {**found, "bias": found["targets"][:, 0]}

    monkeypatch.setattr(ToyTask, "measures", lambda task: (Bias(), *measures(task)))
    monkeypatch.setattr(ToyTask, "predict", both)
    Session(first_trial(order()), world, DataCache()).close()
    found = json.loads((tmp_path / "checkpoints" / "baselines.json").read_text())
    assert (len(found["zero"]), len(found["untrained"])) == (5, 6)
    assert "bias" not in found["zero"]


def test_a_baseline_may_give_some_metrics_of_a_measure(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add, summarize, predict = Errors.add, Errors.summarize, ToyTask.predict

    def marked(self: ToyTask, model: torch.nn.Module, batch: Batch) -> Outputs:
        alone = {"alone": torch.ones(1)} if isinstance(model, Mean) else {}
        return {**predict(self, model, batch), **alone}

    def added(self: Errors, outputs: Outputs, batch: Batch) -> State:
        return {**add(self, outputs, batch), **({"alone": outputs["alone"]} if "alone" in outputs else {})}

    def partly(self: Errors, state: State) -> dict[str, float]:
        found = summarize(self, state)
        return {"mse": found["mse"]} if "alone" in state else found

    monkeypatch.setattr(ToyTask, "predict", marked)
    monkeypatch.setattr(Errors, "add", added)
    monkeypatch.setattr(Errors, "summarize", partly)
    Session(first_trial(order()), world, DataCache()).close()
    found = json.loads((tmp_path / "checkpoints" / "baselines.json").read_text())
    assert (list(found["zero"]), len(found["untrained"])) == (["mse"], 5)
