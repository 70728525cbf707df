"""Parameter groups, and what the optimizer makes of them on real DeepSpeed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from families.toy.config import Toy
from families.toy.task import SquaredErrors, ToyTask
from thalweg.config import Optimization
from thalweg.errors import ConfigError
from thalweg.stage_contract import ParameterGroup, Progress, Stage
from thalweg.training.engine import engine
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import Layout

LOSS = SquaredErrors(Toy())
GROUPS = (ParameterGroup(), ParameterGroup(prefix="head.", lr_scale=3.0, decay=False))


def toy() -> nn.Module:
    torch.manual_seed(0)
    return ToyTask(Toy()).build(None)


def test_the_longest_prefix_decides_and_the_rest_is_frozen() -> None:
    model = toy()
    stage = Stage(
        loss=LOSS, groups=(ParameterGroup(prefix="head."), ParameterGroup(prefix="head.bias", lr_scale=2.0))
    )
    groups = engine.parameter_groups(model, stage, 0.1)
    parameters = dict(model.named_parameters())
    assert [group["params"] for group in groups] == [[parameters["head.weight"]], [parameters["head.bias"]]]
    assert [(group["lr"], group["lr_scale"]) for group in groups] == [(0.1, 1.0), (0.2, 2.0)]
    assert {name for name, weight in parameters.items() if weight.requires_grad} == {
        "head.weight",
        "head.bias",
    }


def test_a_prefix_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"got 'tail\.' in stage 'train', with which no .* name one that"):
        engine.parameter_groups(toy(), Stage(loss=LOSS, groups=(ParameterGroup(prefix="tail."),)), 0.1)


@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_weight_decay_spares_the_groups_that_say_so(world: ProcessGroup, zero_stage: int) -> None:
    """At a gradient of 0, decoupled weight decay alone moves a weight: by the factor 1 - lr * decay."""
    task, model = ToyTask(Toy()), toy()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    knobs = Optimization(lr=0.1, weight_decay=0.5, zero_stage=zero_stage)
    started = engine.start(
        engine.TaskModule(task, model, LOSS), Stage(loss=LOSS, groups=GROUPS), knobs, Layout.of(4, None, 1)
    )
    batch = task.training_batch(task.open(Path()), np.arange(4), np.zeros(4, np.uint64))
    now = Progress(samples=0, total_samples=8, stage="train", stage_ratio=0.0)
    started.backward(sum(0 * part for part in started(batch, now).values()))
    started.step()
    after = engine.full_weights(started)
    engine.release(started)
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight if name.startswith("head.") else 0.95 * weight)
