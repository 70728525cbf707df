"""Stochastic gradient descent beside AdamW, and records of a version that had none, on real DeepSpeed."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from families.toy.config import Toy
from families.toy.task import Net, ToyTask, Waves
from tests.thalweg.training.conftest import Orders, Run
from thalweg.config import Knobs, Optimization, active, alike, identity, parse
from thalweg.errors import ConfigError
from thalweg.training.checkpoints import checkpoint
from thalweg.training.checkpoints.state import TrainingState
from thalweg.training.engine import engine
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import SampleStream
from thalweg.training.schedule import lr_factor
from thalweg.training.session import DataCache, Session

pytestmark = pytest.mark.slow

SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.8, "weight_decay": 0.01, "clip_norm": 0.5}
STEPS = (8, 16, 24, 32)

every_stage = pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])


def _by_hand(knobs: Optimization) -> list[dict[str, Tensor]]:
    """Trains the toy with torch's own optimizer and returns the weights after each step."""
    task, data = ToyTask(Toy()), Waves()
    torch.manual_seed(0)
    model = task.build(None)
    assert isinstance(model, Net)
    sgd = torch.optim.SGD(
        model.parameters(), lr=knobs.lr, momentum=knobs.momentum, weight_decay=knobs.weight_decay
    )
    stream, found = SampleStream(data.num_samples("train"), 0), []
    for end in STEPS:
        sgd.param_groups[0]["lr"] = knobs.lr * lr_factor(knobs, end / STEPS[-1])
        batch = task.training_batch(data, *stream.take(end - 8, 8))
        errors = (model(batch["inputs"]) - batch["targets"]).square()
        present = batch["present"]
        sgd.zero_grad()
        (errors[:, 0].mean() + 0.5 * (errors[:, 1] * present).sum() / present.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), knobs.clip_norm)
        sgd.step()
        found.append({name: weight.detach().clone() for name, weight in model.state_dict().items()})
    return found


@every_stage
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-6), ("bf16", 4e-3)])
def test_descent_equals_that_of_torch_step_for_step(
    precision: str,
    tolerance: float,
    zero_stage: int,
    order: Orders,
    world: ProcessGroup,
) -> None:
    opt = SGD | {"precision": precision, "zero_stage": zero_stage, "micro_batch_size": 3}
    session = Session(replace(order(opt=opt), evaluations=STEPS), world, DataCache())
    expected = _by_hand(Optimization(batch_size=8, warmup_ratio=0.1, **SGD))
    for end, wanted in zip(STEPS, expected, strict=True):
        session.advance(end - 8)
        found = engine.full_weights(session._engine)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)
    session.close()


@pytest.mark.slow
@every_stage
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_descent_goes_on_from_its_checkpoint_bit_for_bit(
    precision: str, zero_stage: int, order: Orders, run: Run, world: ProcessGroup
) -> None:
    """The interruption lies in the first of two stages, so that the second begins after it."""
    knobs: dict[str, Any] = {
        "stages": "two",
        "opt": SGD | {"precision": precision, "zero_stage": zero_stage},
    }
    whole = run(order("whole", **knobs))
    first = Session(order("cut", **knobs), world, DataCache())
    first.advance(0)
    first.close()
    rest = run(order("cut", **knobs))  # the first of which was reported
    assert [report.metrics for report in rest] == [report.metrics for report in whole]
    ends = [checkpoint.fp32_weights(Path(str(reports[-1].checkpoint))) for reports in (whole, rest)]
    assert all(torch.equal(ends[1][name], weight) for name, weight in ends[0].items())


@pytest.mark.parametrize(
    ("knobs", "law"),
    [
        (
            {"momentum": 0.5},
            r"momentum must be left at 0\.9 with the optimizer 'adamw', .* got 0\.5; leave it",
        ),
        (
            {"optimizer": "sgd", "beta1": 0.5},
            r"beta1 must be left at 0\.9 with the optimizer 'sgd', .* got 0\.5",
        ),
        ({"optimizer": "sgd", "beta2": 0.5}, r"beta2 must be left at 0\.95 with the optimizer 'sgd'"),
        ({"optimizer": "sgd", "eps": 1e-6}, r"eps must be left at 1e-08 with the optimizer 'sgd'"),
    ],
)
def test_a_knob_of_the_other_optimizer_is_refused(knobs: dict[str, Any], law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        parse(Toy, {"optimization": knobs})


def test_records_show_the_knobs_of_the_optimizer_that_trains() -> None:
    shown = {"beta1", "beta2", "eps", "momentum"}
    names = {
        kind: {
            name.removeprefix("optimization.")
            for name in active(Toy(optimization=Optimization(optimizer=kind)))
        }
        for kind in ("adamw", "sgd")
    }
    assert names["adamw"] & shown == {"beta1", "beta2", "eps"}
    assert names["sgd"] & shown == {"momentum"}


def _of_before() -> dict[str, Any]:
    """Returns the toy's configuration as a version without a choice of optimizers recorded it."""
    values = Toy().model_dump(mode="json")
    for name in Optimization.added:
        del values["optimization"][name]
    return values


def test_a_record_that_lacks_later_knobs_is_the_same_training() -> None:
    old, own = _of_before(), Toy().model_dump(mode="json")
    assert old != own
    assert alike(Toy, old, own)
    assert identity(Toy()) == old
    for other in ({"optimizer": "sgd"}, {"lr": 0.5}):
        changed = parse(Toy, {"optimization": own["optimization"] | other})
        assert not alike(Toy, old, changed.model_dump(mode="json"))
        assert identity(changed) != old
    assert not alike(Toy, old | {"of_another_version": 1}, own)


class _Grouped(Knobs):
    """Knobs with a group that older studies do not know."""

    added: ClassVar[frozenset[str]] = frozenset({"group"})
    group: Optimization = Optimization()


def test_a_group_that_older_studies_do_not_know_changes_nothing_at_its_defaults() -> None:
    assert identity(_Grouped()) == {}
    assert identity(_Grouped(group=Optimization(lr=0.5))) == {"group": identity(Optimization(lr=0.5))}


def test_a_checkpoint_of_before_is_gone_on_from_and_cleaned_up(
    order: Orders, world: ProcessGroup, run: Run
) -> None:
    old = replace(order("trial"), config=_of_before())
    now = replace(old, config=Toy().model_dump(mode="json"))
    whole = run(replace(now, trial="whole"))
    session = Session(old, world, DataCache())
    first = session.advance()
    session.close()
    session = Session(now, world, DataCache())
    assert session.last is not None and session.last.metrics == first.metrics
    assert session.advance(64).metrics == whole[1].metrics
    session.close()
    left = sorted((Path(old.directory) / "trial").glob("samples-*"))
    assert [folder.name for folder in left] == ["samples-000000000128"]  # the newest and the best
    assert TrainingState.read(left[0]).config == now.config
