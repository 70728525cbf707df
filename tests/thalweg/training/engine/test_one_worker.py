"""Steps on one worker at ZeRO 1 and 2, beside those of DeepSpeed's own optimizer: equal to the last bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.thalweg.training.conftest import Orders
from thalweg.config import Precision
from thalweg.training.engine import engine, one_worker
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

Begin = Callable[[TrialOrder], Session]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fp16_everywhere")]
both_stages = pytest.mark.parametrize("zero_stage", [1, 2])


@pytest.fixture
def begin(world: ProcessGroup) -> Begin:
    """Begins a trial as a user's is."""

    def started(order: TrialOrder) -> Session:
        session = Session(order, world, DataCache())
        assert type(session._engine.optimizer) is one_worker.OneWorkerOptimizer
        return session

    return started


@pytest.fixture
def begin_as_deepspeed(world: ProcessGroup) -> Begin:
    """Begins a trial that leaves all steps to DeepSpeed's own optimizer."""

    def started(order: TrialOrder) -> Session:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(one_worker, "settle", lambda started: None)
            session = Session(order, world, DataCache())
        assert type(session._engine.optimizer) is one_worker.OneWorkerOptimizer.__mro__[1]
        return session

    return started


def _trained(session: Session, until: int) -> tuple[list[Any], dict[str, Tensor]]:
    """Trains so many samples; returns what was reported, and the weights."""
    found: list[Any] = []
    while session.last is None or session.last.samples < until:
        report = session.advance(session.last.samples if session.last else 0)
        found += [report.metrics, report.curve]
    weights = engine.full_weights(session._engine)
    session.close()
    return found, weights


def _again(order: TrialOrder) -> TrialOrder:
    """Returns the same trial in a folder of its own."""
    return replace(order, trial="again")


def _require_equal(found: tuple[list[Any], dict[str, Tensor]], wanted: tuple[list[Any], Any]) -> None:
    assert found[0] == wanted[0]
    assert found[1].keys() == wanted[1].keys()
    assert all(torch.equal(found[1][name], weight) for name, weight in wanted[1].items())


@both_stages
@pytest.mark.parametrize("micro_batch_size", [8, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_steps_are_those_of_deepspeed_to_the_last_bit(
    precision: Precision,
    micro_batch_size: int,
    zero_stage: int,
    order: Orders,
    begin: Begin,
    begin_as_deepspeed: Begin,
) -> None:
    knobs = {"precision": precision, "micro_batch_size": micro_batch_size, "zero_stage": zero_stage}
    planned = order(opt=knobs | {"clip_norm": 0.5}, dropout=0.1)
    _require_equal(_trained(begin(planned), 128), _trained(begin_as_deepspeed(_again(planned)), 128))


@pytest.mark.parametrize("knobs", [{"stages": "two"}, {"stages": "joint"}])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_stages_and_optimizers_change_nothing(
    optimizer: str, knobs: dict[str, str], order: Orders, begin: Begin, begin_as_deepspeed: Begin
) -> None:
    planned = order(opt={"optimizer": optimizer, "micro_batch_size": 4}, **knobs)
    _require_equal(_trained(begin(planned), 256), _trained(begin_as_deepspeed(_again(planned)), 256))


@both_stages
def test_checkpoints_of_deepspeeds_own_optimizer_go_on(
    zero_stage: int, order: Orders, begin: Begin, begin_as_deepspeed: Begin
) -> None:
    planned = order(opt={"zero_stage": zero_stage})
    _trained(begin_as_deepspeed(planned), 128)
    went_on = begin(planned)
    assert went_on.last is not None and went_on.last.samples == 128
    reports, weights = _trained(went_on, 256)
    whole = _trained(begin(_again(planned)), 256)
    _require_equal((reports, weights), (whole[0][4:], whole[1]))


@both_stages
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_step_whose_gradient_is_not_finite_is_skipped(
    value: float, precision: str, zero_stage: int, order: Orders, begin: Begin, begin_as_deepspeed: Begin
) -> None:
    planned = order(opt={"precision": precision, "zero_stage": zero_stage})
    found = []
    for session in (begin(planned), begin_as_deepspeed(_again(planned))):
        before = engine.full_weights(session._engine)
        norm = _break(session, value)
        after = engine.full_weights(session._engine)
        assert all(torch.equal(after[name], weight) for name, weight in before.items())
        assert norm == float("inf")
        found.append(float(session._engine.optimizer.loss_scale))
        session.close()
    assert found[0] == found[1]


def _break(session: Session, value: float) -> float:
    """Takes a step with one number of a gradient replaced; returns the norm."""
    started = session._engine
    first = next(weight for weight in started.module.parameters() if weight.requires_grad)

    def broken(gradient: Tensor) -> Tensor:
        return torch.full_like(gradient, value)

    handle = first.register_hook(broken)
    loss = torch.stack([weight.float().square().sum() for weight in started.module.parameters()]).sum()
    started.backward(loss)
    handle.remove()
    return float(engine.step(started) or 0.0)


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_other_stages_are_left_to_deepspeed(zero_stage: int, order: Orders, world: ProcessGroup) -> None:
    session = Session(order(opt={"zero_stage": zero_stage}), world, DataCache())
    assert not isinstance(session._engine.optimizer, one_worker.OneWorkerOptimizer)
    session.close()


def test_many_workers_are_left_to_deepspeed(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch, begin_as_deepspeed: Begin
) -> None:
    session = begin_as_deepspeed(order())
    own = type(session._engine.optimizer)
    monkeypatch.setattr(one_worker, "_num_workers", lambda optimizer: 2)
    one_worker.settle(session._engine)
    assert type(session._engine.optimizer) is own
    monkeypatch.setattr(one_worker, "_num_workers", lambda optimizer: 1)
    one_worker.settle(session._engine)
    assert type(session._engine.optimizer) is one_worker.OneWorkerOptimizer
    session.close()


def test_norms_are_measured_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    whole = one_worker._norm(flat)
    monkeypatch.setattr(one_worker, "_PIECE", 7)
    assert float(one_worker._norm(flat)) == pytest.approx(float(whole), rel=1e-14)
    assert float(whole) == pytest.approx(float(flat.double().norm()), rel=1e-14)
