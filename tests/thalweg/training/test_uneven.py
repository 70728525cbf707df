"""Micro-batches of which some are a sample smaller than the others, on real DeepSpeed."""

import re
from typing import Any

import numpy as np
import pytest

from families.toy.task import ToyTask
from tests.thalweg.training.conftest import Orders
from thalweg.contract import Indices
from thalweg.errors import NonFiniteError
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fp16_everywhere")]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Indices]:
    """The sample numbers of each training batch, as they are drawn."""
    found: list[Indices] = []
    true = ToyTask.training_batch

    def watched(self: ToyTask, data: Any, indices: Indices, keys: Any) -> Any:
        found.append(indices)
        return true(self, data, indices, keys)

    monkeypatch.setattr(ToyTask, "training_batch", watched)
    return found


@pytest.mark.parametrize("stages", ["one", "joint"])
@pytest.mark.parametrize("zero_stage", [1, 3])
@pytest.mark.parametrize(("precision", "rel"), [("fp32", 1e-5), ("bf16", 0.02)])
def test_an_odd_batch_trains_like_the_whole_batch(
    precision: str,
    rel: float,
    zero_stage: int,
    stages: str,
    order: Orders,
    world: ProcessGroup,
    drawn: list[Indices],
) -> None:
    ends, batches = [], []
    for micro in (None, 4):
        opt = {"batch_size": 13, "micro_batch_size": micro, "zero_stage": zero_stage, "precision": precision}
        session = Session(order(f"{micro}", stages=stages, opt=opt), world, DataCache())
        ends.append(session.advance().metrics)
        session.close()
        batches.append([len(indices) for indices in drawn])
        order_of_samples = np.concatenate(drawn)
        if micro is None:
            whole = order_of_samples
        drawn.clear()
    assert ends[1] == pytest.approx(ends[0], rel=rel, abs=rel)
    assert batches[0] == [13] * 5  # to the first whole batch after 64 samples
    if stages == "one":  # a joint loss draws some of them twice
        assert batches[1] == [4, 3, 3, 3] * 5
        assert np.array_equal(order_of_samples, whole)


def test_deepspeed_counts_passes_and_no_samples(order: Orders, world: ProcessGroup) -> None:
    session = Session(order(opt={"batch_size": 127, "micro_batch_size": 32}), world, DataCache())
    session.advance()
    steps, passes = session._engine.global_steps, session._engine.micro_steps
    session.close()
    assert (steps, passes) == (1, 4)


def test_data_of_an_odd_batch_that_are_not_finite_are_named(order: Orders, world: ProcessGroup) -> None:
    session = Session(order(opt={"batch_size": 7, "micro_batch_size": 2}), world, DataCache())
    session.data.inputs[17, 2] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(NonFiniteError) as caught:
        session.advance()
    session.close()
    found = re.search(r"inputs\[[01], 2\] of batch [0-3] is nan \(sample 17 of train\)", str(caught.value))
    assert found, caught.value
