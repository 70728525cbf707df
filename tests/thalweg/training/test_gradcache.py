"""Losses that join the samples of a global batch, against the whole batch at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import Net, ToyTask, Waves
from tests import tasks
from thalweg.config import Optimization
from thalweg.errors import ConfigError
from thalweg.hashing import splitmix64
from thalweg.stage_contract import Progress
from thalweg.training.checkpoints import checkpoint
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import SampleStream
from thalweg.training.schedule import lr_factor
from thalweg.training.session import DataCache, Session

BATCH, STAGE = 16, 128  # samples of a batch and of the joint stage, the first half of the budget


def _config(**knobs: Any) -> Toy:
    optimization = Optimization(lr=1e-2, batch_size=BATCH, warmup_ratio=0.1, clip_norm=0.5)
    return Toy(stages="joint", optimization=optimization, **knobs)


def _knobs(micro: int | None, zero_stage: int = 1) -> dict[str, Any]:
    return {"batch_size": BATCH, "micro_batch_size": micro, "clip_norm": 0.5, "zero_stage": zero_stage}


def _by_hand(config: Toy, micro: int) -> Net:
    """Trains the joint stage in plain torch: every micro-batch keeps its graph, the loss sees all of them."""
    task, data, knobs = ToyTask(config), Waves(), config.optimization
    torch.manual_seed(config.seed)
    model = task.build(task.facts(data))
    assert isinstance(model, Net)
    adam = torch.optim.AdamW(
        model.body.parameters(),
        lr=knobs.lr,
        betas=(knobs.beta1, knobs.beta2),
        weight_decay=knobs.weight_decay,
    )
    stream = SampleStream(data.num_samples("train"), config.seed, whole_batches_of=BATCH)
    for start in range(0, STAGE, BATCH):
        progress = Progress(samples=start, total_samples=256, stage="align", stage_ratio=start / STAGE)
        adam.param_groups[0]["lr"] = knobs.lr * lr_factor(knobs, (start + BATCH) / STAGE)
        seed = int(splitmix64(splitmix64(np.uint64(config.seed)) + np.uint64(start)))
        parts = []
        for number, position in enumerate(range(start, start + BATCH, micro)):
            torch.default_generator.manual_seed((seed + number) % 2**63)
            batch = task.training_batch(data, *stream.take(position, micro))
            parts.append(tasks.embed(task, model, batch, progress))
        adam.zero_grad()
        (tasks.joint_losses(task, tasks.cat(*parts), progress)["alignment"] / BATCH).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.body.parameters(), knobs.clip_norm)
        adam.step()
    return model


def _weights(session: Session) -> dict[str, torch.Tensor]:
    """Trains to the end of the joint stage and returns weights and buffers."""
    report = session.advance(0)
    while report.samples < STAGE:
        report = session.advance(report.samples)
    weights = checkpoint.fp32_weights(Path(str(report.checkpoint)))
    session.close()
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
@pytest.mark.parametrize("micro", [None, 8, 2])
def test_micro_batches_of_a_joint_loss_equal_the_whole_batch(
    zero_stage: int, micro: int | None, order: Any, world: ProcessGroup
) -> None:
    found = _weights(Session(order(stages="joint", opt=_knobs(micro, zero_stage)), world, DataCache()))
    for name, weight in _by_hand(_config(), BATCH).state_dict().items():
        torch.testing.assert_close(found[name], weight, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("micro", [16, 4])
def test_dropout_and_batch_norm_are_the_same_in_both_passes(
    micro: int, order: Any, world: ProcessGroup
) -> None:
    knobs: dict[str, Any] = {"dropout": 0.3, "batch_norm": True}
    found = _weights(Session(order(stages="joint", opt=_knobs(micro), **knobs), world, DataCache()))
    expected = _by_hand(_config(**knobs), micro).state_dict()
    assert expected["body.1.num_batches_tracked"] == 2 * STAGE / micro
    for name, weight in expected.items():
        torch.testing.assert_close(found[name].to(weight.dtype), weight, rtol=2e-5, atol=2e-6)


@pytest.mark.slow
def test_micro_batches_split_differently_give_other_dropout(order: Any, world: ProcessGroup) -> None:
    """The control of the test above: it can tell masks apart."""
    ends = [
        _weights(
            Session(
                order(f"micro-{micro}", stages="joint", dropout=0.3, opt=_knobs(micro)), world, DataCache()
            )
        )
        for micro in (16, 4)
    ]
    assert not torch.allclose(ends[0]["body.0.weight"], ends[1]["body.0.weight"], rtol=1e-3)


def test_a_joint_stage_leaves_other_parts_alone(order: Any, world: ProcessGroup) -> None:
    torch.manual_seed(0)
    start = ToyTask(Toy()).build(None).state_dict()
    found = _weights(Session(order(stages="joint", opt=_knobs(4)), world, DataCache()))
    assert torch.equal(found["head.weight"], start["head.weight"])
    assert not torch.equal(found["body.0.weight"], start["body.0.weight"])


def test_the_curve_tells_how_a_stage_ended(order: Any, world: ProcessGroup) -> None:
    session = Session(order(stages="joint", opt=_knobs(4)), world, DataCache())
    reports = [session.advance(0)]
    while not reports[-1].done:
        reports.append(session.advance(reports[-1].samples))
    session.close()
    notes = [point for report in reports for _, point in report.curve if "after_align/mse" in point]
    assert [note["after_align/mse"] for note in notes] == [reports[1].metrics["mse"]]
    parts = [{name for _, point in report.curve for name in point} for report in reports]
    assert "loss/alignment" in parts[0] and "loss/first" not in parts[0]
    assert "loss/first" in parts[3] and "loss/alignment" not in parts[3]


@pytest.mark.slow
def test_a_joint_trial_goes_on_from_its_checkpoint_bit_for_bit(
    order: Any, run: Any, world: ProcessGroup
) -> None:
    knobs: dict[str, Any] = {"stages": "joint", "dropout": 0.3, "batch_norm": True, "opt": _knobs(4)}
    whole = run(order("whole", **knobs))
    for stops_after in (1, 2, 3):
        name = f"cut-{stops_after}"
        first, reached = Session(order(name, **knobs), world, DataCache()), 0
        for _ in range(stops_after):
            reached = first.advance(reached).samples
        first.close()
        second = Session(order(name, **knobs), world, DataCache())
        assert second.advance(reached).metrics == whole[stops_after].metrics
        second.close()


def test_no_point_of_the_curve_mixes_the_losses_of_two_stages(order: Any, run: Any) -> None:
    sparse = replace(order(stages="joint", opt=_knobs(4)), evaluations=(96, 192, 256), num_curve_points=1)
    points = [(samples, point) for samples, point in run(sparse)[1].curve if "loss/weighted" in point]
    assert [samples for samples, _ in points] == [128, 192]
    first, second = (point for _, point in points)
    assert first["loss/weighted"] == first["loss/alignment"]
    assert "loss/first" not in first and "loss/alignment" not in second
    assert second["loss/weighted"] == pytest.approx(second["loss/first"] + 0.5 * second["loss/second"])


def test_a_stage_shorter_than_a_batch_is_refused(order: Any, world: ProcessGroup) -> None:
    with pytest.raises(ConfigError, match="at least as long as a batch, got 48 samples for 'align'"):
        Session(replace(order(stages="joint", opt={"batch_size": 64}), evaluations=(96,)), world, DataCache())


def test_a_joint_batch_of_one_is_refused(order: Any, world: ProcessGroup) -> None:
    with pytest.raises(ConfigError, match=r"at least 2, got optimization.batch_size 1"):
        Session(order(stages="joint", opt={"batch_size": 1}), world, DataCache())


def test_a_joint_batch_larger_than_the_split_is_refused(order: Any, world: ProcessGroup) -> None:
    with pytest.raises(
        ConfigError, match=r"hold none twice, got optimization.batch_size 100 and 96 training"
    ):
        Session(order(stages="joint", opt={"batch_size": 100}), world, DataCache())
