"""States of measures over batches and workers."""

from typing import Any

import pytest
import torch

from families.toy.config import Toy
from families.toy.task import ToyTask, Waves
from tests.workers import on_workers
from thalweg.contract import Batch, Measure, Metric, Outputs, SplitName, State
from thalweg.per_unit import PerUnit
from thalweg.training.evaluation import states_of_split
from thalweg.training.process_group import ProcessGroup, join


def states(world: ProcessGroup, batch_size: int, split: SplitName = "val") -> State:
    """The state of the toy's only measure; a worker may have no sample of `test`, which holds 3."""
    task, data = ToyTask(Toy()), Waves()
    torch.manual_seed(0)
    model = task.build(None).eval()
    (state,) = states_of_split(
        task,
        task.measures(),
        data,
        lambda batch: task.predict(model, batch),
        world,
        split=split,
        batch_size=batch_size,
    )
    return state


def same(found: State, expected: State) -> None:
    """Compares sums, tables and rows."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, PerUnit):
            assert torch.equal(found[name].keys, value.keys)
            torch.testing.assert_close(found[name].values, value.values, rtol=1e-5, atol=1e-6)
        else:
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 21])
def test_batches_change_no_state(batch_size: int, world: ProcessGroup) -> None:
    state = states(world, batch_size)
    same(state, states(world, 100))
    assert state["second"].keys.flatten().tolist() == [9, 10, 11]  # samples 96 to 116
    assert float(state["second"].values[:, 1].sum()) == sum(number % 3 != 0 for number in range(96, 117))
    assert len(state["errors"]) == 21


class Counted(Measure):
    """Counts in fp32, where 2**24 + 1 is 2**24."""

    metrics = (Metric(name="n", mode="max", unit="1", search_invariant=True, meaning="Count."),)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """A batch of 2**24, or of one."""
        return {"n": torch.tensor(1.0 if len(batch["inputs"]) == 1 else 2.0**24)}

    def summarize(self, state: State) -> dict[str, float]:
        """The count."""
        return {"n": float(state["n"])}


def test_sums_of_batches_are_added_in_fp64(world: ProcessGroup) -> None:
    task = ToyTask(Toy())
    (state,) = states_of_split(
        task, (Counted(),), Waves(), lambda batch: {}, world, split="val", batch_size=20
    )  # 20 samples, then one
    assert float(state["n"]) == 2**24 + 1


def states_of_workers() -> list[State]:
    """The states of two splits; every worker calls."""
    world = join()
    return [states(world, 4, "val"), states(world, 2, "test")]


@pytest.mark.slow
def test_workers_change_no_state_even_if_one_has_no_sample(world: ProcessGroup) -> None:
    """Four workers share 21 samples, then 3; their tables hold different units."""
    expected: list[Any] = [states(world, 100), states(world, 100, "test")]
    for found in on_workers(4, states_of_workers):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
