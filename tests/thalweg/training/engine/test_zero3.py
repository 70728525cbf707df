"""What DeepSpeed keeps of engines at ZeRO 3."""

import gc
import weakref
from pathlib import Path

import pytest
import torch

from tests.thalweg.training.conftest import order_in
from thalweg.training.engine import zero3
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_nothing_of_a_trial_outlives_it(zero_stage: int, tmp_path: Path) -> None:
    linear = torch.nn.functional.linear
    session = Session(order_in(tmp_path, opt={"zero_stage": zero_stage}), join(), DataCache())
    session.advance()
    parts = [session._engine, session._module.model, next(session._module.model.parameters())]
    left = [weakref.ref(part) for part in parts]
    session.close()
    del session, parts
    gc.collect()
    assert [each() for each in left] == [None] * 3
    assert torch.nn.functional.linear is linear is torch._C._nn.linear


def test_an_engine_is_taken_off_the_stack_of_passes_and_others_stay() -> None:
    from deepspeed.runtime.zero.parameter_offload import FWD_MODULE_STACK

    class Engine:
        module = torch.nn.Sequential(torch.nn.Linear(1, 1))

    other = torch.nn.Linear(1, 1)
    before = list(FWD_MODULE_STACK)
    FWD_MODULE_STACK.extend((Engine.module, other, Engine.module[0]))
    zero3.forget(Engine())
    assert [*before, other] == FWD_MODULE_STACK
    FWD_MODULE_STACK[:] = before
