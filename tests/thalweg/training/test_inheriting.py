"""A trial that goes on from the checkpoint of one with other values, beside a training by hand whose values change."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import ToyTask, Waves
from tests import tasks
from tests.thalweg.training.conftest import Orders, Run
from thalweg.config import Optimization
from thalweg.errors import LostCheckpoint
from thalweg.stage_contract import Progress
from thalweg.study_folder import checkpoint_name
from thalweg.training.checkpoints.state import complete
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import SampleStream
from thalweg.training.schedule import lr_factor
from thalweg.training.session import DataCache, Session

pytestmark = pytest.mark.slow

FIRST: dict[str, Any] = {"lr": 1e-2, "weight_decay": 0.01, "clip_norm": 1.0, "beta1": 0.9, "zero_stage": 1}
LATER: dict[str, Any] = {"lr": 5e-3, "weight_decay": 0.9, "clip_norm": 0.05, "beta1": 0.5}


def by_hand(first: Optimization, later: Optimization, change_at: int, num_samples: int = 256) -> float:
    """Trains the toy with plain torch, one sample after another; returns its last objective."""
    config = Toy(optimization=first)
    task, data, knobs = ToyTask(config), Waves(), first
    torch.manual_seed(config.seed)
    model = task.build(task.facts(data))
    betas = (knobs.beta1, knobs.beta2)
    adam = torch.optim.AdamW(model.parameters(), lr=1.0, betas=betas, weight_decay=knobs.weight_decay)
    stream = SampleStream(data.num_samples("train"), config.seed)
    for start in range(0, num_samples, knobs.batch_size):
        if start == change_at:
            knobs = later
            adam.param_groups[0] |= {"weight_decay": later.weight_decay, "betas": (later.beta1, later.beta2)}
        adam.param_groups[0]["lr"] = knobs.lr * lr_factor(knobs, (start + knobs.batch_size) / num_samples)
        progress = Progress(samples=start, total_samples=num_samples, stage="train", stage_ratio=0.0)
        batch = task.training_batch(data, *stream.take(start, knobs.batch_size))
        counts, weights = tasks.counts(task, batch, progress), tasks.weights(task, progress)
        adam.zero_grad()
        losses = tasks.losses(task, model, batch, progress)
        total = torch.stack([weights[name] * value / counts[name] for name, value in losses.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), knobs.clip_norm)
        adam.step()
    sums = tasks.evaluate(task, model.eval(), task.evaluation_batch(data, "val", np.arange(21)))
    return tasks.summarize(task, sums)["mse"]


def heir_of(parent: TrialOrder, own: TrialOrder, samples: int) -> TrialOrder:
    """An order that continues the checkpoint of another one, of which a copy lies in its own folder."""
    place = Path(own.directory) / own.trial / checkpoint_name(samples)
    shutil.copytree(Path(parent.directory) / parent.trial / checkpoint_name(samples), place)
    return replace(own, resumes=str(place), inherits=parent.config)


def begun(order: TrialOrder, world: ProcessGroup) -> TrialOrder:
    """Trains an order to its first evaluation."""
    session = Session(order, world, DataCache())
    session.advance(0)
    session.close()
    return order


def rest(order: TrialOrder, world: ProcessGroup, reached: int) -> list[Report]:
    session = Session(order, world, DataCache())
    found = [session.advance(reached)]
    while not found[-1].done:
        found.append(session.advance(found[-1].samples))
    session.close()
    return found


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_settings_of_the_optimizer_are_those_of_the_heir(
    zero_stage: int, order: Orders, world: ProcessGroup
) -> None:
    first, later = FIRST | {"zero_stage": zero_stage}, LATER | {"zero_stage": zero_stage}
    parent = begun(order("parent", opt=first), world)
    found = rest(heir_of(parent, order("heir", opt=later), 64), world, 64)
    usual = {"batch_size": 8, "warmup_ratio": 0.1}
    expected = by_hand(Optimization(**usual | first), Optimization(**usual | later), 64)
    assert found[-1].value == pytest.approx(expected, rel=2e-5)
    unchanged = by_hand(Optimization(**usual | first), Optimization(**usual | first | {"lr": 5e-3}), 64)
    assert abs(unchanged - expected) > 1e-4  # the other settings matter here


@pytest.mark.parametrize("setting", ["weight_decay", "clip_norm", "beta1", "lr"])
@pytest.mark.parametrize("zero_stage", [0, 1])
def test_each_setting_matters_in_half_precision(
    setting: str, zero_stage: int, order: Orders, world: ProcessGroup
) -> None:
    knobs = FIRST | {"precision": "bf16", "zero_stage": zero_stage}
    parent = begun(order("parent", opt=knobs), world)
    same = rest(heir_of(parent, order("same", opt=knobs), 64), world, 64)
    other = rest(heir_of(parent, order("other", opt=knobs | {setting: LATER[setting]}), 64), world, 64)
    assert same[-1].value != other[-1].value


def test_an_heir_with_equal_values_is_its_parent_bit_for_bit(
    order: Orders, run: Run, world: ProcessGroup
) -> None:
    whole = run(order("parent", dropout=0.2))
    parent = begun(order("again", dropout=0.2), world)
    found = rest(heir_of(parent, order("heir", dropout=0.2), 64), world, 64)
    assert [report.metrics for report in found] == [report.metrics for report in whole[1:]]
    assert [report.curve for report in found] == [report.curve for report in whole[1:]]


def test_an_heir_keeps_its_own_checkpoints_only(order: Orders, world: ProcessGroup) -> None:
    parent = begun(order("parent"), world)
    heir = heir_of(parent, order("heir", loss_weights={"first": 2.0}), 64)
    rest(heir, world, 64)
    assert {folder.name for folder in complete(Path(heir.directory) / "heir")} <= {
        checkpoint_name(samples) for samples in (128, 192, 256)
    }
    assert [folder.name for folder in complete(Path(heir.directory) / "parent")] == [checkpoint_name(64)]


def test_an_heir_without_its_parents_checkpoint_never_begins_anew(order: Orders, world: ProcessGroup) -> None:
    parent = begun(order("parent"), world)
    heir = heir_of(parent, order("heir", loss_weights={"first": 2.0}), 64)
    (Path(heir.resumes or "") / "weights").rename(Path(heir.directory) / "moved")
    with pytest.raises(LostCheckpoint, match=r"must find its checkpoint, got none that is whole.*is gone"):
        Session(heir, world, DataCache())
