"""Micro-batches that do not fit into memory are halved, and the result is that of the smaller ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.task import Net, ToyTask
from thalweg.lanes.channel import Command
from thalweg.lanes.micro_batches import FittingMicroBatches
from thalweg.lanes.worker import Crew
from thalweg.training.messages import Refusal, Report, TrialOrder
from thalweg.training.process_group import ProcessGroup, join

Order = Callable[..., TrialOrder]


@pytest.fixture(scope="module")
def group() -> ProcessGroup:
    """This process alone."""
    return join()


class Worker:
    """A lane's only worker, and the orders that it was given."""

    def __init__(self, group: ProcessGroup) -> None:
        self.crew = Crew(group)
        self.micro_batches = FittingMicroBatches()
        self.tried: list[int] = []

    def advance(self, order: TrialOrder, reached: int = 0) -> Report | Refusal:
        """Trains to the next evaluation."""

        def attempt(order: TrialOrder) -> Report | Refusal:
            self.tried.append(order.halvings)
            answer = self.crew.follow(Command(verb="advance", order=order, reached=reached))
            assert isinstance(answer, Report | Refusal)
            return answer

        return self.micro_batches.advance(order, attempt)

    def train(self, order: TrialOrder) -> list[Report]:
        """Trains to the end."""
        found: list[Report] = []
        while not found or not found[-1].done:
            answer = self.advance(order, found[-1].samples if found else 0)
            assert isinstance(answer, Report), answer.reason
            found.append(answer)
        return found


@pytest.fixture
def worker(group: ProcessGroup) -> Worker:
    return Worker(group)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    def make(trial: str, opt: dict[str, Any] | None = None, **knobs: Any) -> TrialOrder:
        return TrialOrder(
            trial=trial,
            family="families.toy",
            config={"optimization": {"lr": 1e-2, "batch_size": 16} | (opt or {}), **knobs},
            metric="mse",
            evaluations=(64, 128),
            data_root=str(tmp_path),
            directory=str(tmp_path / "checkpoints"),
        )

    return make


class Counting(Net):
    """A network whose answers depend on how often it was called in training: what a failed step leaves would show."""

    def __init__(self) -> None:
        super().__init__(8, 0.2)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Predicts both targets, (batch, 2)."""
        if self.training:
            self.passes: Tensor
            self.passes += 1
        return super().forward(inputs) * (1 + self.passes / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["one", "joint"])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_halved_trial_is_the_trial_of_smaller_micro_batches_bit_for_bit(
    zero_stage: int, stages: str, worker: Worker, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyTask, "build", lambda self, facts: Counting())
    halved = worker.train(order("halved", {"zero_stage": zero_stage}, fits=5, stages=stages))
    assert worker.tried == [0, 1, 2, 2]
    assert halved[0].provenance["micro_batch_size"] == 4
    small = {"zero_stage": zero_stage, "micro_batch_size": 4}
    reference = worker.train(order("small", small, stages=stages))
    assert [report.curve for report in halved] == [report.curve for report in reference]
    for report, other in zip(halved, reference, strict=True):  # which is evaluated in larger pieces
        assert report.metrics == pytest.approx(other.metrics, rel=1e-5)


def test_memory_that_runs_out_in_the_middle_changes_the_rest_by_rounding_only(
    worker: Worker, order: Order
) -> None:
    halved = worker.train(order("late", fits=8, trouble_at=96))
    whole = worker.train(order("whole"))
    assert worker.tried[:3] == [0, 0, 1]
    assert [report.provenance["micro_batch_size"] for report in halved] == [16, 8]
    assert halved[0].metrics == whole[0].metrics
    assert halved[1].metrics == pytest.approx(whole[1].metrics, rel=1e-4)
    assert [samples for samples, _ in halved[1].curve] == [samples for samples, _ in whole[1].curve]


def test_the_size_that_fits_is_told_and_the_next_trial_of_like_size_begins_with_it(
    worker: Worker, order: Order
) -> None:
    first = worker.advance(order("first", fits=8))
    assert isinstance(first, Report)
    assert first.notes == (
        "first trains in micro-batches of 8, the same batch: larger ones did not fit into memory",
    )
    like = worker.advance(order("like", {"lr": 1e-3}, fits=8, seed=3))
    assert isinstance(like, Report)
    assert (worker.tried, like.notes) == ([0, 1, 1], ())
    assert isinstance(worker.advance(order("other", fits=8, width=9)), Report)
    assert worker.tried[3:] == [0, 1]


def test_a_trial_that_does_not_fit_sample_by_sample_is_given_up(worker: Worker, order: Order) -> None:
    refusal = worker.advance(order("huge", fits=0))
    assert isinstance(refusal, Refusal)
    assert worker.tried == [0, 1, 2, 3, 4]
    assert (refusal.ended_as, refusal.can_halve) == ("out_of_memory", False)
    assert refusal.reason.startswith(
        "the memory of a worker must hold its model and a micro-batch, got OutOfMem"
    )
    assert refusal.reason.endswith("(micro-batches of 1 cannot be halved)")
    assert isinstance(worker.advance(order("small")), Report)


def test_batch_norms_tie_the_result_to_the_micro_batch(worker: Worker, order: Order) -> None:
    refusal = worker.advance(order("norm", fits=8, batch_norm=True))
    assert isinstance(refusal, Refusal)
    assert (refusal.ended_as, worker.tried) == ("out_of_memory", [0])
    assert "(body.1 is normalised over a micro-batch, whose size changes the result)" in refusal.reason
    later = worker.crew.follow(
        Command(verb="advance", order=replace(order("later", batch_norm=True), halvings=1))
    )
    assert isinstance(later, Refusal)
    assert later.ended_as == "out_of_memory"
    assert "micro-batches must keep their size, for body.1 is normalised over them" in later.reason


def test_a_model_that_does_not_fit_is_not_built_again(
    worker: Worker, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(self: ToyTask, facts: object) -> nn.Module:
        raise MemoryError("Unable to allocate 99 GiB")

    monkeypatch.setattr(ToyTask, "build", build)
    refusal = worker.advance(order("huge"))
    assert isinstance(refusal, Refusal)
    assert (refusal.ended_as, worker.tried) == ("out_of_memory", [0])


def test_workers_that_a_machine_without_memory_lost_are_not_given_the_same_again(order: Order) -> None:
    lost = Refusal(kind="group", reason="no memory", ended_as="out_of_memory", can_halve=True)
    last = Refusal(kind="trial", reason="a micro-batch must hold", ended_as="out_of_memory")
    answers, tried = [lost, lost, last], []

    def attempt(order: TrialOrder) -> Refusal:
        tried.append(order.halvings)
        return answers[len(tried) - 1]

    refusal = FittingMicroBatches().advance(order("killed"), attempt)
    assert refusal == replace(last, reason="no memory; a micro-batch must hold")
    assert tried == [0, 1, 2]
