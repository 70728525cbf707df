"""Modules that a stage freezes, on real DeepSpeed in every precision."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.task import Net, ToyTask
from tests.thalweg.training.conftest import Orders
from thalweg.errors import ConfigError
from thalweg.stage_contract import ParameterGroup, Stage
from thalweg.training.engine import engine
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

STEM = "body.0"
"""Two batch norms without parameters, and a dropout."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fp16_everywhere")]


class Stemmed(Net):
    """The toy's network behind a stem that has statistics and no parameters."""

    def __init__(self) -> None:
        super().__init__(8, 0.0, batch_norm=True)
        stem = nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4, affine=False, momentum=None))
        self.body = nn.Sequential(nn.Sequential(stem, nn.Dropout(0.5)), *self.body)


Freeze = Callable[..., None]


@pytest.fixture
def freeze(monkeypatch: pytest.MonkeyPatch) -> Freeze:
    """Lets the stages of the toy freeze some modules, and train those of some groups alone."""
    stages = ToyTask.stages

    def patch(*frozen: str, trains: tuple[str, ...] = ()) -> None:
        def patched(task: ToyTask) -> tuple[Stage, ...]:
            changed: dict[str, Any] = {"frozen": frozen}
            if trains:
                changed["groups"] = tuple(ParameterGroup(prefix=prefix) for prefix in trains)
            return tuple(replace(stage, **changed) for stage in stages(task))

        monkeypatch.setattr(ToyTask, "stages", patched)
        monkeypatch.setattr(ToyTask, "build", lambda task, data: Stemmed())

    return patch


def _state(session: Session) -> dict[str, Tensor]:
    """Returns weights and buffers as they are at a moment."""
    return {name: value.clone() for name, value in engine.full_weights(session._engine).items()}


def _trained(session: Session) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Returns weights and buffers before and after training; fp16 begins at a scale at which it takes steps."""
    if session._knobs.precision == "fp16":
        session._engine.optimizer.loss_scale = 128.0
    before = _state(session)
    session.advance()
    after = _state(session)
    session.close()
    return before, after


def _changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("stages", ["one", "joint"])
def test_statistics_of_a_frozen_module_without_parameters_stay(
    precision: str, stages: str, order: Orders, world: ProcessGroup, freeze: Freeze
) -> None:
    opt = {"precision": precision, "micro_batch_size": 4}
    freeze()
    began = Session(order("free", stages=stages, opt=opt), world, DataCache())
    free = _changed(*_trained(began))
    freeze(STEM)
    began = Session(order("frozen", stages=stages, opt=opt), world, DataCache())
    frozen = _changed(*_trained(began))
    assert free - frozen == {f"{STEM}.0.{number}.{name}" for number in (0, 1) for name in STATISTICS}
    assert {"body.1.weight"} | {f"body.2.{name}" for name in STATISTICS} <= frozen


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_a_frozen_encoder_stays_bit_for_bit(
    precision: str, zero_stage: int, order: Orders, world: ProcessGroup, freeze: Freeze
) -> None:
    freeze("body", trains=("head",))
    opt = {"precision": precision, "zero_stage": zero_stage}
    before, after = _trained(Session(order(opt=opt), world, DataCache()))
    assert _changed(before, after) == {"head.weight", "head.bias"}


def test_what_is_frozen_draws_nothing(order: Orders, world: ProcessGroup, freeze: Freeze) -> None:
    freeze(STEM)
    session = Session(order(), world, DataCache())
    session.advance()
    engine.train_mode(session._module.model, session._plan.stages[0])
    modes = {name: module.training for name, module in session._module.model.named_modules()}
    session.close()
    assert {name for name, trains in modes.items() if not trains} == {
        name for name in modes if name.startswith(STEM)
    }
    assert f"{STEM}.1" in modes  # the dropout


@pytest.mark.parametrize(
    ("prefix", "law"),
    [
        ("tail", r"must exist, got 'tail' in stage 'train', with which no module's name begins; name one"),
        (
            "body",
            r"must not train, got 'body' in stage 'train', where a group trains body\.1\.weight; name narrower",
        ),
        ("", r"must not train, got '' in stage 'train', where a group trains body\.1\.weight"),
    ],
)
def test_what_cannot_be_frozen_is_refused(
    prefix: str, law: str, order: Orders, world: ProcessGroup, freeze: Freeze
) -> None:
    freeze(prefix)
    with pytest.raises(ConfigError, match=law):
        Session(order(), world, DataCache())
