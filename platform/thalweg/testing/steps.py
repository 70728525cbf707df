"""Checks what a stage trains and minimises, on the first samples of the training split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Data, Task, metrics_of
from thalweg.errors import FamilyError
from thalweg.nn.unallocated import unallocated
from thalweg.stage_contract import JointLoss, Loss, Progress, Stage
from thalweg.training import features
from thalweg.training.engine.engine import parameter_groups
from thalweg.training.schedule import Plan

if TYPE_CHECKING:
    from thalweg.contract import Batch

NUM_SAMPLES = 4
"""Samples of a batch that is cut into two."""
_NUM_ENOUGH = 8  # samples that reach every weight
_BUDGET = 1_000_000


def check_fit(task: Task[Any, Any], model: nn.Module) -> None:
    """Checks that stages share the whole budget, and that a model has what they train and freeze.

    Args:
        task: Names the stages.
        model: Its model, of any geometry and on any device, of which each stage freezes what it does not train.

    Raises:
        ConfigError: It has not, or the shares do not add up to 1.
        FamilyError: A stage teaches a metric that no measure has.
    """
    stages = task.stages()
    Plan.lay(stages, _BUDGET)
    declared = {metric.name for metric in metrics_of(task)}
    for stage in stages:
        if unknown := set(stage.teaches or ()) - declared:
            raise FamilyError(
                f"a stage must teach metrics of the task's measures, got {min(unknown)!r} in stage {stage.name!r}; "
                f"name some of {', '.join(sorted(declared))}"
            )
    for stage in stages:
        parameter_groups(model, stage, 1.0)


def check_reference(task: Task[Any, Any]) -> None:
    """Checks that a model is built without data, and that stages fit it, as `check_fit` does.

    Raises:
        ConfigError: A stage does not fit.
        FamilyError: A stage teaches a metric that no measure has, or the model has no parts.
    """
    with unallocated():
        model = task.build(None)
    check_fit(task, model)
    if not dict(model.named_children()):
        raise FamilyError(
            "a model must have named parts, whose parameters `thalweg describe` counts, got none in "
            f"{type(model).__name__}; make its layers attributes of it"
        )


def check_stages(task: Task[Any, Any], data: Data) -> None:
    """Checks that stages fit the model, as `check_fit` does, and that each loss reaches all that its stage trains.

    Raises:
        ConfigError: A stage does not fit.
        FamilyError: A weight that a stage trains gets no gradient from its loss.
    """
    facts = task.facts(data)
    check_fit(task, _model(task, facts))
    indices = np.arange(min(_NUM_ENOUGH, data.num_samples("train")))
    for stage in task.stages():
        batch = _drawn(task, stage, data, indices)
        model = _model(task, facts).train()
        parameter_groups(model, stage, 1.0)
        _prepare(stage, model, data)
        sums, _ = _loss_of(stage, model, batch)
        torch.stack(list(sums.values())).sum().backward()  # type: ignore[no-untyped-call]
        silent = [
            name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None
        ]
        if silent:
            raise FamilyError(
                f"every weight that a stage trains must have a part in its loss, got {', '.join(silent)} in stage "
                f"{stage.name!r}; name narrower prefixes in its groups"
            )


def check_losses(task: Task[Any, Any], data: Data) -> None:
    """Checks that losses are sums with counts and weights, and the same however a batch is cut.

    Raises:
        FamilyError: They are not.
    """
    indices = np.arange(min(NUM_SAMPLES, data.num_samples("train")))
    model = _model(task, task.facts(data)).eval()
    with torch.no_grad():
        for stage in task.stages():
            whole, *halves = (
                _drawn(task, stage, data, part)
                for part in (indices, *np.array_split(indices, 2))
                if len(part)
            )
            _prepare(stage, model, data)
            _check_parts(stage, model, whole)
            if isinstance(stage.loss, JointLoss):
                _check_rows(stage, stage.loss, model, whole, halves)
            else:
                _check_sums(stage, model, whole, halves)


def _check_parts(stage: Stage, model: nn.Module, batch: Batch) -> None:
    sums, counts = _loss_of(stage, model, batch)
    weights = stage.loss.weights(_beginning(stage))
    if not sums.keys() == counts.keys() == weights.keys():
        kinds = (("parts", sums), ("counts", counts), ("weights", weights))
        named = ", ".join(f"{kind} {', '.join(sorted(each)) or 'none'}" for kind, each in kinds)
        raise FamilyError(
            f"parts, counts and weights of a loss must have the same names, got {named} in stage {stage.name!r}; "
            "give each part both"
        )
    for name, part in sums.items():
        if part.shape != () or part.dtype != torch.float32 or not torch.isfinite(part):
            raise FamilyError(
                f"a part of a loss must be a finite scalar in fp32, got {part.dtype} of shape {tuple(part.shape)} for "
                f"{name!r} in stage {stage.name!r}; sum it in fp32"
            )


def _check_sums(stage: Stage, model: nn.Module, whole: Batch, halves: list[Batch]) -> None:
    """Checks that a loss of two halves of a batch adds up to that of the whole."""
    expected = _loss_of(stage, model, whole)
    found = [_loss_of(stage, model, half) for half in halves]
    for what, tolerance, of_whole, *parts in zip(
        ("sum", "count"), (1e-4, 0.0), expected, *found, strict=True
    ):
        for name, value in of_whole.items():
            total = sum(float(part[name]) for part in parts)
            if math.isclose(total, float(value), rel_tol=tolerance, abs_tol=1e-8 * tolerance):
                continue
            where = f"for {name!r} in stage {stage.name!r}"
            if what == "sum" and math.isclose(total / len(parts), float(value), rel_tol=tolerance):
                raise FamilyError(
                    f"a part of a loss must be a sum over samples, got a mean, {float(value):.6g}, {where}; sum it, "
                    "and let counts give its denominator"
                )
            raise FamilyError(
                f"the {what} of a part must add up over a batch, got {float(value)} {where}, and {total} in two "
                "halves; sum over samples, which know nothing of one another"
            )


def _check_rows(stage: Stage, loss: JointLoss, model: nn.Module, whole: Batch, halves: list[Batch]) -> None:
    """Checks that the rows of two halves of a batch are those of the whole."""
    now = _beginning(stage)
    expected, *parts = (loss.embed(model, batch, now) for batch in (whole, *halves))
    # Rounding may differ in what is computed, and not in what is drawn.
    tolerances = (("embeddings", None), ("companions", 0.0))
    for kind, tolerance in tolerances:
        for name, values in getattr(expected, kind).items():
            found = torch.cat([getattr(part, kind)[name] for part in parts])
            try:
                torch.testing.assert_close(found, values, rtol=tolerance, atol=tolerance, equal_nan=True)
            except AssertionError:
                raise FamilyError(
                    f"a row of a joint loss must depend on its sample alone, got other {kind} {name!r} in stage "
                    f"{stage.name!r} in two halves of a batch; compare samples in parts, which gets all of them"
                ) from None


def _loss_of(
    stage: Stage, model: nn.Module, batch: Batch
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor | float]]:
    """Returns sums and counts of a batch, in its first step."""
    loss, now = stage.loss, _beginning(stage)
    if isinstance(loss, JointLoss):
        joined = loss.parts(loss.embed(model, batch, now), now)
        return joined.sums, joined.counts
    assert isinstance(loss, Loss)
    return loss.parts(model, batch, now), loss.counts(batch, now)


def _prepare(stage: Stage, model: nn.Module, data: Data) -> None:
    """Computes what the loss of a stage reads of the frozen part."""
    if stage.features is not None:
        features.compute_alone(stage.features, model, data)


def _beginning(stage: Stage) -> Progress:
    return Progress(samples=0, total_samples=_BUDGET, stage=stage.name, stage_ratio=0.0)


def _drawn(task: Task[Any, Any], stage: Stage, data: Data, indices: np.ndarray) -> Batch:
    sample = stage.batch or task.training_batch
    return sample(data, indices, indices.astype(np.uint64) + np.uint64(1))


def _model(task: Task[Any, Any], facts: Mapping[str, Any]) -> nn.Module:
    torch.manual_seed(task.config.seed)
    return task.build(facts)
