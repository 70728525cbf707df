"""Joint losses with labels, masks and distances: over micro-batches and workers as over the whole batch at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from families.toy import task as toy_task
from families.toy.config import Toy
from families.toy.joint_losses import LOSSES, SupCon
from families.toy.task import SquaredErrors, ToyTask, Waves
from tests.thalweg.training.conftest import STEP, Orders
from tests.workers import on_workers
from thalweg.errors import FamilyError
from thalweg.stage_contract import Progress
from thalweg.training import gradcache
from thalweg.training.checkpoints import checkpoint
from thalweg.training.engine import engine, half_precision
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.sampling import SampleStream
from thalweg.training.session import DataCache, Session

pytestmark = pytest.mark.slow

BATCH = 24
Loss = tuple[dict[str, float], dict[str, float]]
"""Sums and counts."""


def one_step(make: Orders, name: str, micro: int | None, precision: str) -> TrialOrder:
    """A trial whose joint stage is one step of `STEP`."""
    knobs = STEP | {"batch_size": BATCH, "micro_batch_size": micro, "precision": precision, "zero_stage": 0}
    trial = f"{name}-{micro}-{precision}"
    return replace(make(trial, stages="joint", opt=knobs), evaluations=(BATCH, 2 * BATCH))


def at_once(name: str, precision: str = "fp32") -> tuple[Loss, dict[str, Tensor]]:
    """Loss and weights after the step by plain torch in fp32, from rounded weights: the whole batch in one graph."""
    task, data, config = ToyTask(Toy()), Waves(), Toy()
    torch.manual_seed(config.seed)
    model, loss = task.build(None), LOSSES[name]()
    for weight in model.parameters():
        weight.data = weight.data.to(half_precision.DTYPES[precision]).float()
    batch = task.training_batch(data, *SampleStream(96, config.seed, whole_batches_of=BATCH).take(0, BATCH))
    now = Progress(samples=0, total_samples=2 * BATCH, stage="align", stage_ratio=0.0)
    joined = loss.parts(loss.embed(model, batch, now), now)
    count = float(joined.counts[name])
    weights = dict(model.named_parameters())
    if count:
        (loss.weights(now)[name] * joined.sums[name] / count).backward()  # type: ignore[no-untyped-call]
    gradients = {
        key: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for key, weight in weights.items()
    }
    moved = {
        key: weight.detach() - STEP["lr"] * gradients[key] / (1 + gradients[key].abs())
        for key, weight in weights.items()
    }
    return ({name: float(joined.sums[name].detach())}, {name: count}), moved


def take_step(order: TrialOrder, world: ProcessGroup) -> tuple[Loss, dict[str, Tensor]]:
    """Loss and weights after the step by a session."""
    told: list[Loss] = []
    backward = gradcache.backward

    def listen(*terms: Any) -> Any:
        sums, counts = backward(*terms)
        told.append(tuple({name: float(value) for name, value in each.items()} for each in (sums, counts)))  # type: ignore[arg-type]
        return sums, counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradcache, "backward", listen)
        patch.setattr(toy_task, "Alignment", LOSSES[order.trial.partition("-")[0]])
        session = Session(order, world, DataCache())
        report = session.advance()
        session.close()
        world.all_agree(True)  # the first worker has put the checkpoint into its place
    (loss,) = told
    return loss, checkpoint.fp32_weights(Path(str(report.checkpoint)))


def check(
    found: tuple[Loss, dict[str, Tensor]], expected: tuple[Loss, dict[str, Tensor]], rel: float
) -> None:
    """Compares sums, counts and what became of each weight."""
    (sums, counts), weights = found
    assert counts == expected[0][1]
    assert sums == pytest.approx(expected[0][0], rel=rel)
    for name, weight in expected[1].items():
        # A step moves no weight by more than lr, and shows the gradient to as many digits as it is.
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=rel * STEP["lr"])


@pytest.mark.parametrize("micro", [None, 6])
@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_give_the_loss_counts_and_gradient_of_the_whole_batch(
    name: str, micro: int | None, order: Orders, world: ProcessGroup
) -> None:
    check(take_step(one_step(order, name, micro, "fp32"), world), at_once(name), 2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_in_bf16_give_what_the_whole_batch_gives_in_bf16(
    name: str, order: Orders, world: ProcessGroup
) -> None:
    whole, parts = (take_step(one_step(order, name, micro, "bf16"), world) for micro in (None, 6))
    # Divided by the spread of the few samples that count, features have their roundings magnified.
    check(parts, whole, 2e-2 if name == "shared_barlow" else 5e-3)
    check(whole, at_once(name, "bf16"), 5e-2)


def test_the_losses_show_what_could_go_wrong() -> None:
    """The control of the tests above: anchors without a positive, and positives in other micro-batches."""
    batch = ToyTask(Toy()).training_batch(
        Waves(), *SampleStream(96, 0, whole_batches_of=BATCH).take(0, BATCH)
    )
    now = Progress(samples=0, total_samples=2 * BATCH, stage="align", stage_ratio=0.0)
    model = ToyTask(Toy()).build(None)

    def anchors(start: int, stop: int) -> int:
        rows = SupCon().embed(model, {name: value[start:stop] for name, value in batch.items()}, now)
        return int(SupCon().parts(rows, now).counts["supcon"])

    assert sum(anchors(start, start + 6) for start in range(0, BATCH, 6)) < anchors(0, BATCH)
    assert anchors(0, BATCH) < int((batch["present"] > 0).sum()) < BATCH


@pytest.mark.parametrize("name", ["supcon", "nt_xent"])
def test_shared_losses_are_those_that_are_written_plainly(name: str) -> None:
    (sums, counts), weights = at_once(name)
    (shared_sums, shared_counts), shared_weights = at_once(f"shared_{name}")
    assert shared_sums[f"shared_{name}"] == pytest.approx(sums[name], rel=1e-6)
    assert shared_counts[f"shared_{name}"] == counts[name] > 0
    for each, weight in weights.items():
        torch.testing.assert_close(shared_weights[each], weight, rtol=0, atol=1e-5 * STEP["lr"])


def test_an_embedding_that_is_no_number_with_a_gradient_is_refused(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = SupCon.embed

    def mixed(self: SupCon, *terms: Any) -> Any:
        rows = embed(self, *terms)
        return replace(rows, embeddings={**rows.embeddings, "label": rows.companions["label"]})

    monkeypatch.setattr(SupCon, "embed", mixed)
    with pytest.raises(FamilyError, match=r"embeddings .* got label of torch.int64; .* companions"):
        take_step(one_step(order, "supcon", 6, "fp32"), world)


@pytest.mark.parametrize(
    ("changed", "law"),
    [
        ({"counts": {}}, r"the same names, got supcon and ; count every part"),
        ({"sums": {}}, r"the same names, got  and supcon; count every part"),
        (
            {"counts": {"supcon": 1.0, "odd": 1.0}},
            r"must have a weight, got none for odd; name it in weights",
        ),
    ],
)
def test_a_part_without_its_count_or_weight_is_refused(
    changed: dict[str, Any], law: str, order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = SupCon.parts
    monkeypatch.setattr(SupCon, "parts", lambda self, *terms: replace(parts(self, *terms), **changed))
    with pytest.raises(FamilyError, match=law):
        take_step(one_step(order, "supcon", 6, "fp32"), world)


@pytest.mark.parametrize(
    ("method", "law"),
    [
        ("counts", r"the same names, got first, second and first; count every part"),
        ("weights", r"must have a weight, got none for second; name it in weights"),
    ],
)
def test_a_part_of_a_sum_over_samples_without_its_count_or_weight_is_refused(
    method: str, law: str, order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = getattr(SquaredErrors, method)
    monkeypatch.setattr(SquaredErrors, method, lambda self, *terms: {"first": whole(self, *terms)["first"]})
    session = Session(order("odd"), world, DataCache())
    with pytest.raises(FamilyError, match=law):
        session.advance()
    session.close()


def steps_of_workers(orders: Sequence[TrialOrder]) -> list[tuple[Loss, dict[str, Tensor]]]:
    """Takes the step of each order; every worker calls."""
    world = join()
    engine.warm_up()  # as a lane does: the collection after each trial leaves out what was imported
    return [take_step(order, world) for order in orders]


def test_two_workers_give_the_loss_counts_and_gradient_of_the_whole_batch(
    order: Orders, world: ProcessGroup
) -> None:
    orders = [
        one_step(order, name, micro, precision)
        for name in LOSSES
        for micro, precision in ((4, "fp32"), (None, "bf16"), (4, "bf16"))
    ]
    for found in on_workers(2, steps_of_workers, orders):
        for each, trial in zip(found, orders, strict=True):
            name, _, precision = trial.trial.split("-")
            check(each, at_once(name, precision), 2e-5 if precision == "fp32" else 5e-2)
