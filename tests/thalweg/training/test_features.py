"""Features of the frozen part: of every training sample in order, shared among workers, anew when a trial goes on."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from families.toy.task import ToyTask, Waves
from tests.thalweg.training.conftest import Orders
from thalweg.contract import Batch, Indices
from thalweg.stage_contract import FrozenFeatures, ParameterGroup, Stage
from thalweg.training import features
from thalweg.training.engine.engine import TaskModule
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session


class Hidden(FrozenFeatures):
    """What the body of the toy's network makes of the inputs.

    Attributes:
        kept: What was kept, each time.
        sizes: Samples of each forward pass.
        modes: Whether the model trained in it.
    """

    def __init__(self) -> None:
        self.kept: list[Mapping[str, Tensor]] = []
        self.sizes: list[int] = []
        self.modes: set[bool] = set()

    def batch(self, data: Waves, indices: Indices) -> Batch:
        """Samples inputs and numbers."""
        return {"inputs": torch.from_numpy(data.inputs[indices]), "number": torch.from_numpy(indices)}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Goes through the body."""
        assert not torch.is_grad_enabled()
        self.sizes.append(len(batch["number"]))
        self.modes.add(model.training)
        inputs = batch["inputs"].to(next(model.parameters()).dtype)
        return {"hidden": model.body(inputs).float(), "number": batch["number"]}  # type: ignore[operator]

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Keeps the rows."""
        self.kept.append({name: values.clone() for name, values in rows.items()})


class Direct:
    """Stands for an engine.

    Args:
        module: What it holds.
    """

    def __init__(self, module: TaskModule) -> None:
        self._module = module

    def eval(self) -> None:
        """Goes to evaluation mode."""
        self._module.eval()

    def __call__(self, *inputs: Any) -> dict[str, Any]:
        """Goes forward."""
        found: dict[str, Any] = self._module(*inputs)
        return found


@dataclass(frozen=True)
class Paired(ProcessGroup):
    """One of two workers that are threads."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    shared: dict[int, Tensor] = field(default_factory=dict)

    def gather(self, values: Tensor) -> tuple[Tensor, ...]:
        """Exchanges tensors."""
        self.shared[self.rank] = values
        self.meeting.wait()
        found = (self.shared[0], self.shared[1])
        self.meeting.wait()
        return found


class Few(Waves):
    """Waves of which the split ``train`` has an odd number of samples."""

    def num_samples(self, split: str) -> int:
        """Number of samples."""
        return 17


def test_workers_share_the_samples_and_keep_all_in_order() -> None:
    data = Few()
    task = ToyTask(ToyTask.config_type())
    module = TaskModule(task, task.build(None))
    alone = Hidden()
    features.compute(
        alone, Direct(module), module.model, data, ProcessGroup(0, 1, torch.device("cpu")), batch_size=17
    )
    pair = [Hidden(), Hidden()]
    barrier, shared = threading.Barrier(2), dict[int, Tensor]()
    threads = [
        threading.Thread(
            target=features.compute,
            args=(
                each,
                Direct(module),
                module.model,
                data,
                Paired(rank, 2, torch.device("cpu"), meeting=barrier, shared=shared),
                4,
            ),
        )
        for rank, each in enumerate(pair)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for each in (alone, *pair):
        (rows,) = each.kept
        assert rows["number"].tolist() == list(range(17))
        torch.testing.assert_close(rows["hidden"], alone.kept[0]["hidden"])
        assert each.modes == {False}
    # Sharded weights are gathered in each pass: as many on both.
    assert len(pair[0].sizes) == len(pair[1].sizes) == 3


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Hidden]]:
    """Gives the last stage of the toy features; returns those of all tasks that were made."""
    made: list[Hidden] = []
    stages = ToyTask.stages

    def patched(task: ToyTask) -> tuple[Stage, ...]:
        *earlier, last = stages(task)
        made.append(Hidden())
        head = (ParameterGroup(prefix="head"),)
        return (*earlier, replace(last, groups=head, frozen=("body",), features=made[-1]))

    monkeypatch.setattr(ToyTask, "stages", patched)
    return lambda: [each for each in made if each.kept]


@pytest.mark.slow
@pytest.mark.usefixtures("fp16_everywhere")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_stage_begins_with_its_features_and_so_does_a_trial_that_goes_on_in_it(
    precision: str,
    zero_stage: int,
    order: Orders,
    world: ProcessGroup,
    hidden: Callable[[], list[Hidden]],
) -> None:
    trial = order("trial", stages="two", opt={"precision": precision, "zero_stage": zero_stage})
    session = Session(trial, world, DataCache())
    session.advance()
    assert not hidden()
    session.advance(64)
    session.advance(128)
    assert len(hidden()) == 1
    (first,) = hidden()
    session.advance(192)
    assert len(first.kept) == 1
    np.testing.assert_array_equal(first.kept[0]["number"], np.arange(96))
    session.close()
    again = Session(trial, world, DataCache())
    again.close()
    _, second = hidden()
    assert torch.equal(second.kept[0]["hidden"], first.kept[0]["hidden"])
    assert second.modes == {False}
