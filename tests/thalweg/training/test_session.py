"""One trial in one process, on real DeepSpeed."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import Errors, SquaredErrors, ToyTask, Waves
from tests import tasks
from tests.thalweg.training.conftest import Orders, Run
from thalweg.config import Optimization
from thalweg.contract import Batch, Indices, Keys
from thalweg.data import placement
from thalweg.errors import ConfigError, NonFiniteDataError, NonFiniteError
from thalweg.stage_contract import ParameterGroup, Progress, Stage
from thalweg.study_folder import BASELINES
from thalweg.training.checkpoints import checkpoint
from thalweg.training.checkpoints.state import TrainingState, complete
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import SampleStream
from thalweg.training.schedule import lr_factor
from thalweg.training.session import DataCache, Session

pytestmark = pytest.mark.slow


def _by_hand(config: Toy, num_samples: int) -> torch.nn.Module:
    """Trains the toy with plain torch: one sample after another, gradients of the exact mean."""
    task, data, knobs = ToyTask(config), Waves(), config.optimization
    torch.manual_seed(config.seed)
    model = task.build(task.facts(data))
    adam = torch.optim.AdamW(
        model.parameters(),
        lr=knobs.lr,
        betas=(knobs.beta1, knobs.beta2),
        eps=knobs.eps,
        weight_decay=knobs.weight_decay,
    )
    stream = SampleStream(data.num_samples("train"), config.seed)
    for start in range(0, num_samples, knobs.batch_size):
        progress = Progress(samples=start, total_samples=num_samples, stage="train", stage_ratio=0.0)
        adam.param_groups[0]["lr"] = knobs.lr * lr_factor(knobs, (start + knobs.batch_size) / num_samples)
        totals = {"first": 0.0, "second": 0.0}
        for position in range(start, start + knobs.batch_size):
            batch = task.training_batch(data, *stream.take(position, 1))
            totals = {
                name: totals[name] + count for name, count in tasks.counts(task, batch, progress).items()
            }
        adam.zero_grad()
        for position in range(start, start + knobs.batch_size):
            batch = task.training_batch(data, *stream.take(position, 1))
            for name, value in tasks.losses(task, model, batch, progress).items():
                if totals[name]:
                    (tasks.weights(task, progress)[name] * value / totals[name]).backward(retain_graph=True)  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), knobs.clip_norm)
        adam.step()
    return model


def _mse(model: torch.nn.Module) -> float:
    task, data = ToyTask(Toy()), Waves()
    sums = tasks.evaluate(task, model, task.evaluation_batch(data, "val", np.arange(data.num_samples("val"))))
    return tasks.summarize(task, sums)["mse"]


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_training_equals_plain_torch(
    zero_stage: int, micro_batch_size: int | None, order: Orders, run: Run
) -> None:
    knobs = {"zero_stage": zero_stage, "micro_batch_size": micro_batch_size, "clip_norm": 0.5}
    value = run(order(opt=knobs))[-1].value
    config = Toy(optimization=Optimization(lr=1e-2, batch_size=8, warmup_ratio=0.1, clip_norm=0.5))
    assert value == pytest.approx(_mse(_by_hand(config, 256).eval()), rel=2e-5)


def test_bf16_stays_near_fp32(order: Orders, run: Run) -> None:
    full, half = run(order("a"))[-1].value, run(order("b", opt={"precision": "bf16"}))[-1].value
    assert half != full
    assert half == pytest.approx(full, rel=0.02)


def test_a_trial_repeats_bit_for_bit(order: Orders, run: Run) -> None:
    one, other = run(order("a", dropout=0.2)), run(order("b", dropout=0.2))
    assert [report.metrics for report in one] == [report.metrics for report in other]
    assert [report.curve for report in one] == [report.curve for report in other]


def test_the_seed_changes_a_trial(order: Orders, run: Run) -> None:
    assert run(order("a", seed=0))[-1].value != run(order("b", seed=1))[-1].value


@pytest.mark.parametrize("knobs", [{}, {"dropout": 0.3}, {"stages": "two"}, {"opt": {"precision": "bf16"}}])
@pytest.mark.parametrize("stops_after", [1, 2, 3])
def test_a_trial_goes_on_from_its_checkpoint_bit_for_bit(
    knobs: dict[str, object], stops_after: int, order: Orders, run: Run, world: ProcessGroup
) -> None:
    whole = run(order("whole", **knobs))
    first = Session(order("cut", **knobs), world, DataCache())
    reached = 0
    for _ in range(stops_after):
        reached = first.advance(reached).samples
    first.close()
    second = Session(order("cut", **knobs), world, DataCache())
    rest = [second.advance(reached)]
    while not rest[-1].done:
        rest.append(second.advance(rest[-1].samples))
    second.close()
    assert [report.metrics for report in rest] == [report.metrics for report in whole[stops_after:]]


def test_a_report_that_was_lost_is_given_again(order: Orders, world: ProcessGroup) -> None:
    session = Session(order(), world, DataCache())
    lost = session.advance(0)
    assert session.advance(0).metrics == lost.metrics
    placement.empty(4)
    session.close()
    assert session.last is not None and session.last.timings["train_s"] > 0
    assert not placement._free
    again = Session(order(), world, DataCache())
    given = again.advance(0)
    assert (given.metrics, given.timings) == (lost.metrics, {})  # of a process that has spent no time on it
    assert again.advance(given.samples).timings.keys() >= {"prepare_s", "train_s"}
    again.close()


def test_another_trial_goes_on_from_an_interrupted_one(order: Orders, run: Run, world: ProcessGroup) -> None:
    whole = run(order("whole"))
    first = Session(order("interrupted"), world, DataCache())
    folder = first.advance(0).checkpoint
    first.close()
    second = Session(replace(order("successor"), resumes=folder), world, DataCache())
    assert second.advance(64).metrics == whole[1].metrics
    second.close()


def test_a_checkpoint_that_was_written_unheard_is_found(order: Orders, run: Run, world: ProcessGroup) -> None:
    whole = run(order("whole"))
    first = Session(order("interrupted"), world, DataCache())
    heard = first.advance(0).checkpoint
    first.advance(64)
    first.close()
    second = Session(replace(order("successor"), resumes=heard), world, DataCache())
    assert second.last is not None and second.last.samples == 128
    assert second.advance(128).metrics == whole[2].metrics
    second.close()


def test_a_checkpoint_of_another_configuration_is_left_alone(order: Orders, run: Run) -> None:
    alone = run(order("alone", seed=1))
    left = run(order("left", seed=0))[-1].checkpoint
    for other in (replace(order("successor", seed=1), resumes=left), order("left", seed=1)):
        assert [report.metrics for report in run(other)] == [report.metrics for report in alone]


def _worse_after(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    """Makes the toy's evaluations worse from the next one on, without a change to training."""
    true, calls = Errors.summarize, iter(range(64, 10**6, 64))

    def summarize(self: Errors, state: Mapping[str, Any]) -> dict[str, float]:
        metrics = true(self, state)
        return metrics | {"mse": metrics["mse"] + (1.0 if next(calls) > samples else 0.0)}

    monkeypatch.setattr(Errors, "summarize", summarize)


def test_the_newest_and_the_best_checkpoint_are_kept(
    order: Orders, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _worse_after(monkeypatch, 128)
    reports = run(order("trial"))
    monkeypatch.undo()
    folders = sorted((tmp_path / "checkpoints" / "trial").glob("samples-*"))
    assert [folder.name for folder in folders] == ["samples-000000000128", "samples-000000000256"]
    model = ToyTask(Toy()).build(None)
    model.load_state_dict(checkpoint.fp32_weights(folders[0]))
    assert _mse(model.eval()) == pytest.approx(reports[1].value, rel=1e-6) == min(r.value for r in reports)
    assert complete(folders[0].parent) == folders


def test_the_best_checkpoint_outlives_the_trial_that_is_continued(
    order: Orders, world: ProcessGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _worse_after(monkeypatch, 64)
    first = Session(order("interrupted"), world, DataCache())
    best = first.advance(0)
    folder = first.advance(64).checkpoint
    first.close()
    second = Session(replace(order("successor"), resumes=folder), world, DataCache())
    assert second.last is not None and second.last.samples == 128  # the newest, not the best
    second.advance(128)
    second.close()
    kept = sorted((tmp_path / "checkpoints" / "successor").glob("samples-*"))
    assert [path.name for path in kept] == ["samples-000000000064", "samples-000000000192"]
    assert TrainingState.read(kept[0]).report.metrics == best.metrics


def test_a_checkpoint_gives_the_weights_in_fp32(order: Orders, run: Run) -> None:
    report = run(order(opt={"precision": "bf16"}))[-1]
    weights = checkpoint.fp32_weights(Path(str(report.checkpoint)))
    model = ToyTask(Toy()).build(None)
    model.load_state_dict(weights)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert _mse(model.eval()) == pytest.approx(report.value, rel=0.02)


def test_data_that_are_not_finite_are_named(order: Orders, world: ProcessGroup) -> None:
    session = Session(order(opt={"batch_size": 8, "micro_batch_size": 2}), world, DataCache())
    session.data.inputs[17, 2] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(NonFiniteDataError, match=r"loss must stay finite") as caught:
        session.advance()
    found = re.search(
        r"; mend the data: inputs\[[01], 2\] of batch [0-3] is nan \(sample 17 of train\)", str(caught.value)
    )
    assert found, caught.value


def test_a_loss_that_is_not_finite_ends_the_trial(order: Orders, run: Run) -> None:
    with pytest.raises(
        NonFiniteError, match=r"loss must stay finite, got .*nan.* after 104 samples; lower lr"
    ):
        run(order(breaks_at=100))


def test_evaluations_are_due_at_the_same_samples_whatever_the_batch(order: Orders, run: Run) -> None:
    reports = run(order(opt={"batch_size": 24}))
    assert [report.samples for report in reports] == [64, 128, 192, 256]
    assert [report.samples_seen for report in reports] == [72, 144, 192, 264]


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_the_second_stage_leaves_frozen_weights_alone(
    zero_stage: int, order: Orders, world: ProcessGroup
) -> None:
    session = Session(order(stages="two", opt={"zero_stage": zero_stage}), world, DataCache())
    middle = checkpoint.fp32_weights(Path(str(_advance_to(session, 128))))
    end = checkpoint.fp32_weights(Path(str(_advance_to(session, 256))))
    session.close()
    assert set(end) == set(ToyTask(Toy()).build(None).state_dict())
    changed = {name for name in end if not torch.equal(middle[name], end[name])}
    assert changed == {"head.weight", "head.bias"}


def test_a_stage_trains_on_its_own_batches(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stage alone samples by itself; what is trained stays the same."""
    plain = Session(order("plain", stages="two"), world, DataCache())
    expected = _advance_to(plain, 256)
    plain.close()
    stages = ToyTask.stages
    sampled: list[int] = []

    def with_batch(task: ToyTask) -> tuple[Stage, ...]:
        def batch(data: Waves, indices: Indices, keys: Keys) -> Batch:
            sampled.extend(indices)
            return task.training_batch(data, indices, keys)

        first, second = stages(task)
        return first, replace(second, batch=batch)

    monkeypatch.setattr(ToyTask, "stages", with_batch)
    session = Session(order("own", stages="two"), world, DataCache())
    found = _advance_to(session, 256)
    session.close()
    assert len(sampled) == 128
    for one, other in zip(
        *(checkpoint.fp32_weights(Path(str(path))).values() for path in (expected, found)), strict=True
    ):
        assert torch.equal(one, other)


def _advance_to(session: Session, samples: int) -> str | None:
    report = session.last
    while report is None or report.samples < samples:
        report = session.advance(report.samples if report else 0)
    return report.checkpoint


@pytest.mark.parametrize(("due", "number"), [((64, 128, 256), 3), ((64, 192, 256), 4)])
def test_the_end_of_a_stage_is_evaluated_unless_it_was_just_now(
    due: tuple[int, ...], number: int, order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = []
    evaluate = Session._evaluate

    def counted(self: Session, *keep: Any) -> dict[str, float]:
        evaluated.append(evaluate(self, *keep))
        return evaluated[-1]

    monkeypatch.setattr(Session, "_evaluate", counted)
    reports = run(replace(order(stages="two"), evaluations=due))
    assert len(evaluated) == number
    notes = [point for report in reports for samples, point in report.curve if samples == 128]
    first = ToyTask(Toy(stages="two")).stages()[0].name
    assert {f"after_{first}/{name}": value for name, value in evaluated[1].items()} in notes


def test_the_curve_holds_unweighted_parts_and_the_weights_used(order: Orders, run: Run) -> None:
    light = run(order("a", loss_weights={"first": 1.0, "second": 0.5}, opt={"lr": 1e-9}))
    heavy = run(order("b", loss_weights={"first": 4.0, "second": 2.0}, opt={"lr": 1e-9}))
    one, other = light[0].curve[0][1], heavy[0].curve[0][1]
    assert one["loss/first"] == pytest.approx(other["loss/first"], rel=1e-4)
    assert other["loss/weighted"] == pytest.approx(4 * one["loss/weighted"], rel=1e-4)
    assert (one["weight/second"], other["weight/second"]) == (0.5, 2.0)


def test_the_curve_holds_the_learning_rate_that_the_optimizer_ran_at(order: Orders, run: Run) -> None:
    knobs = Optimization(lr=1e-2, warmup_ratio=0.1)
    points = dict(point for report in run(order(stages="two")) for point in report.curve if "lr" in point[1])
    for samples, scale in ((64, 1.0), (128, 1.0), (192, 0.5), (248, 0.5)):  # the head's lr_scale
        factor = lr_factor(knobs, (samples - 1) % 128 / 128 + 1 / 128)
        assert points[samples]["lr"] == pytest.approx(1e-2 * scale * factor)


def test_of_several_learning_rates_the_curve_holds_the_largest(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = (ParameterGroup(prefix="body", lr_scale=0.1), ParameterGroup(prefix="head", lr_scale=3.0))
    monkeypatch.setattr(
        ToyTask, "stages", lambda self: (Stage(loss=SquaredErrors(self.config), groups=groups),)
    )
    reports = run(order(opt={"lr_schedule": "constant", "warmup_ratio": 0.0}))
    rates = [point["lr"] for report in reports for _, point in report.curve]
    assert rates == pytest.approx([3e-2] * len(rates))


def test_absent_targets_do_not_thin_the_mean(order: Orders, run: Run) -> None:
    point = run(order(opt={"lr": 1e-9, "batch_size": 64}))[0].curve[0][1]
    task, data = ToyTask(Toy()), Waves()
    torch.manual_seed(0)
    model = task.build(task.facts(data))
    indices, keys = SampleStream(96, 0).take(0, 64)
    errors = []
    for index, key in zip(indices, keys, strict=True):
        batch = task.training_batch(data, np.array([index]), np.array([key]))
        if float(batch["present"]) > 0:
            error = model(batch["inputs"]).detach()[0, 1] - batch["targets"][0, 1]
            errors.append(float(error.square()))
    assert point["loss/second"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_an_unknown_knob_is_named(order: Orders, world: ProcessGroup) -> None:
    with pytest.raises(ConfigError, match="widht"):
        Session(order(widht=3), world, DataCache())


def test_every_trial_is_checked_against_the_data(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data stay open from trial to trial: a check when they are opened would miss the second trial."""
    cache, seen = DataCache(), []

    def facts(task: ToyTask, data: Waves) -> dict[str, Any]:
        seen.append(task.config.seed)
        if task.config.seed:
            raise ConfigError("seed must be 0, got another; take 0")
        return {}

    monkeypatch.setattr(ToyTask, "facts", facts)
    Session(order(), world, cache).close()
    with pytest.raises(ConfigError, match="seed must be 0"):
        Session(order(seed=1), world, cache)
    assert seen == [0, 1]


def test_baselines_are_recorded_once(order: Orders, world: ProcessGroup, tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    for trial, width in (("a", 4), ("b", 16)):
        session = Session(replace(order(trial, width=width), baselines=True), world, DataCache())
        session.advance(0)
        session.close()
        recorded = json.loads((directory / BASELINES).read_text())
        if trial == "a":
            first = recorded
    assert recorded == first
    assert first["zero"]["mse"] == pytest.approx(
        float(
            np.mean(Waves().first[96:117] ** 2)
            + np.mean(Waves().second[96:117][np.arange(96, 117) % 3 != 0] ** 2)
        )
        / 2
    )
    assert set(first) == {"untrained", "zero"}


def test_every_report_says_what_the_trial_takes(order: Orders, run: Run) -> None:
    costs = [report.costs for report in run(order(width=16))]
    assert {cost["num_parameters"] for cost in costs} == {5 * 16 + 2 * 17}
    assert all(cost["epoch_s"] > 0 for cost in costs)


def test_rows_reach_the_summary_in_the_order_of_the_samples(order: Orders, run: Run) -> None:
    report = run(order(opt={"lr": 1e-12}))[0]
    task, data = ToyTask(Toy()), Waves()
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    errors = (model(batch["inputs"])[:, 0] - batch["targets"][:, 0]).detach().square().double()
    steps = float((errors.diff() * torch.arange(1, len(errors))).mean())
    assert report.metrics["steps"] == pytest.approx(steps, rel=1e-4)


def test_the_training_split_is_evaluated_where_a_task_asks(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyTask, "evaluated_splits", lambda self: ("val", "train"))
    metrics = run(order(opt={"lr": 1e-12}))[0].metrics
    task, data = ToyTask(Toy()), Waves()
    torch.manual_seed(0)
    batch = task.evaluation_batch(data, "train", np.arange(data.num_samples("val")))
    expected = tasks.evaluate(task, task.build(task.facts(data)).eval(), batch)
    assert metrics["train_mse_first"] == pytest.approx(
        float(expected["Errors.first"][0] / expected["Errors.first"][1]), rel=1e-4
    )
    assert metrics["train_mse_first"] != metrics["mse_first"]
