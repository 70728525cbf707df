"""What a task loses and measures on a batch, as the platform puts it together."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.contract import Batch, State, Task, metrics_of
from thalweg.per_unit import PerUnit
from thalweg.stage_contract import JointLoss, Loss, Progress, Rows, Stage, StageLoss
from thalweg.training import features

AnyTask = Task[Any, Any]


def progress_in(stage: Stage) -> Progress:
    """The beginning of a stage."""
    return Progress(samples=0, total_samples=1000, stage=stage.name, stage_ratio=0.0)


def loss_of(task: AnyTask, now: Progress) -> StageLoss:
    """The loss of the present stage; of one that is not there, that of the first one."""
    stages = task.stages()
    return next((stage.loss for stage in stages if stage.name == now.stage), stages[0].loss)


def prepare(stage: Stage, data: Any, model: nn.Module) -> StageLoss:
    """The loss of a stage, once what it reads of the frozen part is computed."""
    if stage.features is not None:
        features.compute_alone(stage.features, model, data)
    return stage.loss


def embed(task: AnyTask, model: nn.Module, batch: Batch, now: Progress) -> Rows:
    """The rows of a joint stage."""
    loss = loss_of(task, now)
    assert isinstance(loss, JointLoss)
    return loss.embed(model, batch, now)


def cat(*parts: Rows) -> Rows:
    """Rows of micro-batches as those of one batch."""
    return Rows(
        embeddings={
            name: torch.cat([part.embeddings[name] for part in parts]) for name in parts[0].embeddings
        },
        companions={
            name: torch.cat([part.companions[name] for part in parts]) for name in parts[0].companions
        },
    )


def joint_losses(task: AnyTask, rows: Rows, now: Progress) -> Mapping[str, Tensor]:
    """The sums of a joint loss."""
    loss = loss_of(task, now)
    assert isinstance(loss, JointLoss)
    return loss.parts(rows, now).sums


def joint_counts(task: AnyTask, rows: Rows, now: Progress) -> dict[str, float]:
    """The counts of a joint loss."""
    loss = loss_of(task, now)
    assert isinstance(loss, JointLoss)
    return {name: float(count) for name, count in loss.parts(rows, now).counts.items()}


def losses(
    task: AnyTask, model: nn.Module, batch: Batch, now: Progress, prepared: StageLoss | None = None
) -> Mapping[str, Tensor]:
    """The sums of the loss parts; of a joint loss those of the batch as a whole."""
    loss = prepared or loss_of(task, now)
    if isinstance(loss, JointLoss):
        return loss.parts(loss.embed(model, batch, now), now).sums
    assert isinstance(loss, Loss)
    return loss.parts(model, batch, now)


def counts_of(task: AnyTask, model: nn.Module, batch: Batch, now: Progress) -> Mapping[str, float]:
    """The counts of a loss of either kind; of a joint one those of the batch as a whole."""
    if isinstance(loss_of(task, now), JointLoss):
        return joint_counts(task, embed(task, model, batch, now), now)
    return counts(task, batch, now)


def counts(task: AnyTask, batch: Batch, now: Progress) -> Mapping[str, float]:
    """The counts of a loss that is a sum over samples."""
    loss = loss_of(task, now)
    assert isinstance(loss, Loss)
    return loss.counts(batch, now)


def weights(task: AnyTask, now: Progress) -> Mapping[str, float]:
    """The weights of the loss parts."""
    return loss_of(task, now).weights(now)


def names(task: AnyTask) -> tuple[str, ...]:
    """The names of all metrics."""
    return tuple(metric.name for metric in metrics_of(task))


def evaluate(task: AnyTask, model: nn.Module, batch: Batch) -> dict[str, Any]:
    """The states of all measures after one batch, named ``MEASURE.NAME``."""
    with torch.no_grad():
        outputs = task.predict(model, batch)
        return {
            f"{type(measure).__name__}.{name}": value
            for measure in task.measures()
            for name, value in measure.add(outputs, batch).items()
        }


def added(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """States without rows, added up."""
    whole: dict[str, Any] = {}
    for state in states:
        for name, value in state.items():
            whole[name] = whole[name] + value if name in whole else value
    return whole


def tensors(states: Mapping[str, Any]) -> dict[str, Tensor]:
    """All tensors of states; those of a table of units are its keys and values."""
    found: dict[str, Tensor] = {}
    for name, value in states.items():
        if isinstance(value, PerUnit):
            found |= {f"{name}.keys": value.keys, f"{name}.values": value.values}
        else:
            found[name] = value
    return found


def summarize(task: AnyTask, states: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of such states."""
    found: dict[str, float] = {}
    for measure in task.measures():
        prefix = f"{type(measure).__name__}."
        state: State = {
            name.removeprefix(prefix): value for name, value in states.items() if name.startswith(prefix)
        }
        found |= measure.summarize(state) if state else {}
    return found


def metrics(task: AnyTask, model: nn.Module, batch: Batch) -> dict[str, float]:
    """The metrics of one batch."""
    return summarize(task, evaluate(task, model, batch))
