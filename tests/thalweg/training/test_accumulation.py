"""Losses whose parts no sample of a batch carries, and numbers that no part may have; on one worker and on two."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.task import SquaredErrors, ToyTask, Waves
from tests.thalweg.training.conftest import Orders, Run
from tests.workers import on_workers
from thalweg.contract import Batch, Outputs, State
from thalweg.errors import FamilyError, ThalwegError
from thalweg.stage_contract import Progress
from thalweg.training import accumulation
from thalweg.training.evaluation import states_of_split
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session


def change(patch: pytest.MonkeyPatch, method: str, **numbers: float) -> None:
    """Gives other numbers for some parts of the toy's loss."""
    whole = getattr(SquaredErrors, method)
    patch.setattr(SquaredErrors, method, lambda self, *terms: {**whole(self, *terms), **numbers})


def absent(batch: Batch) -> bool:
    """Whether a micro-batch carries nothing, as two of three do."""
    return bool(batch["tenth"].sum() % 3)


@pytest.fixture
def sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the toy's loss look at some micro-batches only, and return constants for the others."""
    parts, counts = SquaredErrors.parts, SquaredErrors.counts

    def some_parts(
        self: SquaredErrors, model: nn.Module, batch: Batch, progress: Progress
    ) -> Mapping[str, Tensor]:
        nothing = {"first": torch.zeros(()), "second": torch.zeros(())}
        return nothing if absent(batch) else parts(self, model, batch, progress)

    def some_counts(self: SquaredErrors, batch: Batch, progress: Progress) -> Mapping[str, float]:
        return {"first": 0, "second": 0} if absent(batch) else counts(self, batch, progress)

    monkeypatch.setattr(SquaredErrors, "parts", some_parts)
    monkeypatch.setattr(SquaredErrors, "counts", some_counts)


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 1, 2])
def test_a_micro_batch_that_carries_nothing_may_leave_the_model_alone(
    zero_stage: int, sparse: None, order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt = {"micro_batch_size": 2, "zero_stage": zero_stage}
    found = run(order("constants", opt=opt))
    monkeypatch.undo()  # as if its errors were multiplied by 0
    parts, counts = SquaredErrors.parts, SquaredErrors.counts

    def times(part: Any) -> Any:
        return lambda self, *terms: {
            name: value * (not absent(next(term for term in terms if isinstance(term, dict))))
            for name, value in part(self, *terms).items()
        }

    monkeypatch.setattr(SquaredErrors, "parts", times(parts))
    monkeypatch.setattr(SquaredErrors, "counts", times(counts))
    expected = run(order("zeros", opt=opt))
    assert [report.metrics for report in found] == [report.metrics for report in expected]


def test_sharded_weights_need_every_micro_batch(sparse: None, order: Orders, world: ProcessGroup) -> None:
    session = Session(order("t", opt={"micro_batch_size": 2, "zero_stage": 3}), world, DataCache())
    with pytest.raises(FamilyError, match=r"must depend on the model in each micro-batch, .*; multiply"):
        session.advance()
    session.close()


def test_a_batch_that_carries_nothing_moves_no_weight_without_decay(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, "counts", first=0, second=0)
    reports = run(order(opt={"weight_decay": 0.0}))
    assert reports[0].metrics == reports[-1].metrics
    assert "loss/first" not in reports[0].curve[0][1]


@pytest.mark.parametrize(
    ("method", "number", "law"),
    [
        ("weights", float("nan"), "the weight of a part of a loss must be finite, got nan for 'second'"),
        ("weights", float("inf"), "the weight of a part of a loss must be finite, got inf for 'second'"),
        ("counts", float("nan"), "must be finite and not negative, got nan for 'second'; mend counts"),
        ("counts", -10.0, "must be finite and not negative, got -10.0 for 'second'; mend counts"),
    ],
)
def test_a_weight_or_count_that_no_part_may_have_is_refused(
    method: str,
    number: float,
    law: str,
    order: Orders,
    world: ProcessGroup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(monkeypatch, method, second=number)
    session = Session(order("odd"), world, DataCache())
    with pytest.raises(FamilyError, match=law):
        session.advance()
    session.close()


def apart() -> list[Any]:
    """What workers make of names and shapes that they do not have in common."""
    world = join()
    rank, task, data = world.rank, ToyTask(ToyTask.config_type(dataset="waves")), Waves()
    (errors,) = task.measures()
    add = type(errors).add

    def odd(self: Any, outputs: Outputs, batch: Batch) -> State:
        return {**add(self, outputs, batch), f"of_{rank}": torch.ones(1 + rank)}

    def states() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(errors), "add", odd)
            model = task.build(None)
            predict = lambda batch: task.predict(model, batch)  # noqa: E731
            states_of_split(task, (errors,), data, predict, world, split="val", batch_size=8)

    found: list[Any] = []
    for step in (
        lambda: accumulation.total_counts([{"ab"[rank]: 2.0 + rank}], {"a": 1.0, "b": 1.0, "c": 1.0}, world),
        lambda: world.gather(torch.zeros(2, 3 + rank)),
        states,
        lambda: world.gather(torch.full((1 + rank, 2), rank)),
    ):
        try:
            found.append(step())
        except ThalwegError as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


@pytest.mark.slow
def test_workers_with_other_names_or_shapes_add_up_or_stop_alike() -> None:
    for counts, shapes, names, rows in on_workers(2, apart):
        assert counts == {"a": 2.0, "b": 3.0}
        assert shapes.startswith(
            "FamilyError: rows of samples must have the same shape and type on all workers"
        )
        assert names.startswith(
            "FamilyError: families.toy.task.Errors.add must return the same names and shapes"
        )
        assert [part.tolist() for part in rows] == [[[0, 0]], [[1, 1], [1, 1]]]
