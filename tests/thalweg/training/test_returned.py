"""What the methods of a family return is checked where it comes from, and said without a traceback."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from families.toy import task as toy_task
from families.toy.task import Alignment, Errors, SquaredErrors, ToyTask, hidden
from tests.thalweg.training.conftest import Orders
from thalweg.contract import Batch, Measure, Outputs, State
from thalweg.errors import ConfigError, FamilyError
from thalweg.stage_contract import Joined, ParameterGroup, Rows, Stage
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

Change = Callable[[Any], Any]


def run_into(order: Orders, world: ProcessGroup, **knobs: Any) -> None:
    """Trains to an error."""
    session = Session(order("odd", **knobs), world, DataCache())
    try:
        session.advance()
    finally:
        session.close()


RETURNED: dict[str, tuple[type[Any], str, Change, str]] = {
    "no parts": (
        SquaredErrors,
        "parts",
        lambda found: None,
        "parts of a loss must .*, got NoneType; return a dict",
    ),
    "floats": (
        SquaredErrors,
        "parts",
        lambda found: {name: part.item() for name, part in found.items()},
        r"parts of a loss must .*, got first \(float\), second \(float\); return tensors",
    ),
    "rows": (
        SquaredErrors,
        "parts",
        lambda found: {name: part[None] for name, part in found.items()},
        r"must be a scalar, got first of shape \(1,\), second of shape \(1,\); sum it",
    ),
    "no outputs": (
        ToyTask,
        "predict",
        lambda found: None,
        "predict must return tensors by name, got NoneType",
    ),
    "no batch": (
        ToyTask,
        "training_batch",
        lambda found: None,
        "training_batch must return tensors by name, got None",
    ),
    "a list": (
        ToyTask,
        "evaluation_batch",
        lambda found: [1],
        "evaluation_batch must return tensors .*, got list",
    ),
    "a number in a state": (
        Errors,
        "add",
        lambda found: {**found, "n": 3.0},
        r"must be tensors or tables of units, got n \(float\) of families.toy.task.Errors.add; return torch.tensor",
    ),
    "no state": (
        Errors,
        "add",
        lambda found: None,
        "Errors.add must return a state, got NoneType; return a dict",
    ),
}


@pytest.mark.parametrize("kind", RETURNED)
def test_what_is_no_tensor_is_named(
    kind: str, order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, method, change, law = RETURNED[kind]
    whole = getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda self, *terms: change(whole(self, *terms)))
    with pytest.raises(FamilyError, match=law):
        run_into(order, world)


def test_a_state_is_alike_in_all_batches(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Errors.add

    def sometimes(self: Errors, outputs: Any, batch: Batch) -> Any:
        more = {"n": torch.ones(2)} if batch["tenth"][0] == 9 else {}
        return {**add(self, outputs, batch), **more}

    monkeypatch.setattr(Errors, "add", sometimes)
    with pytest.raises(
        FamilyError, match=r"the same names and shapes for every batch, got .*, n \(sums of \(2,\)\)"
    ):
        run_into(order, world)


class Unmoved(Alignment):
    """Embeds the inputs themselves."""

    def embed(self, model: Any, batch: Batch, progress: Any) -> Rows:
        """No weight."""
        return Rows(embeddings={"sample": batch["inputs"], "mirrored": batch["inputs"]})


class Views(Alignment):
    """Lays two views of each sample below one another."""

    def embed(self, model: Any, batch: Batch, progress: Any) -> Rows:
        """Twice as many rows."""
        rows = hidden(model, batch)
        return Rows(embeddings={**rows, "both": torch.cat([rows["sample"], rows["mirrored"]])})


class Empty(Alignment):
    """Embeds nothing."""

    def embed(self, model: Any, batch: Batch, progress: Any) -> Rows:
        """No row."""
        return Rows(embeddings={})

    def parts(self, rows: Rows, progress: Any) -> Joined:
        """Nothing."""
        return Joined(sums={"alignment": torch.zeros(())}, counts={"alignment": 0})


@pytest.mark.parametrize(
    ("loss", "law"),
    [
        (
            Unmoved,
            "must depend on the weights that its stage trains, got sample, mirrored of which none does",
        ),
        (Views, "one row for each sample, got 2 of sample, 2 of mirrored, 4 of both; give several views"),
        (Empty, "must hold an embedding, got none"),
    ],
)
def test_rows_that_cannot_be_joined_are_named(
    loss: type[Alignment], law: str, order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_task, "Alignment", loss)
    with pytest.raises(FamilyError, match=law):
        run_into(order, world, stages="joint", opt={"micro_batch_size": 2})


def test_metrics_of_one_name_are_refused(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = ToyTask.measures

    class Twice(Measure):
        metrics = (Errors.metrics[0],)

        def add(self, outputs: Outputs, batch: Batch) -> State:
            return {"count": torch.ones(())}

        def summarize(self, state: State) -> dict[str, float]:
            return {"mse": 0.0}

    monkeypatch.setattr(ToyTask, "measures", lambda task: (*measures(task), Twice()))
    with pytest.raises(
        FamilyError, match=r"must be unique .*, got mse twice in families.toy.task.ToyTask; rename"
    ):
        run_into(order, world)


@pytest.mark.parametrize(
    ("stages", "law"),
    [
        ({"share": 0.5, "name": "fit"}, "different names, .* got fit, fit; rename one"),
        (
            {"groups": (ParameterGroup(prefix="head", lr_scale=0.1), ParameterGroup(prefix="head"))},
            "got 'head', 'head'",
        ),
    ],
)
def test_stages_and_groups_that_hide_one_another_are_refused(
    stages: dict[str, Any],
    law: str,
    order: Orders,
    world: ProcessGroup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def same(task: ToyTask) -> tuple[Stage, ...]:
        stage = Stage(loss=SquaredErrors(task.config), **stages)
        return (stage,) * round(1 / stage.share)

    monkeypatch.setattr(ToyTask, "stages", same)
    with pytest.raises(ConfigError, match=law):
        Session(order("odd"), world, DataCache())
