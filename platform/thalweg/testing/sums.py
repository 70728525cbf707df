"""Checks that measures keep sums, in double precision, and give the metrics that they declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Data, Measure, State, Task, metrics_of
from thalweg.errors import FamilyError
from thalweg.per_unit import PerUnit
from thalweg.testing.rough_sums import RoughSums, is_exact, is_rough, rough_line
from thalweg.training.engine.engine import TaskModule
from thalweg.training.evaluation import evaluate_split
from thalweg.training.process_group import ProcessGroup

NUM_SAMPLES = 8
"""Samples of ``val`` whose state is compared with that of two halves of them."""
MAX_SAMPLES = 64
"""Samples of ``val`` that are evaluated."""
_TOLERANCE = 1e-3
"""Predictions are rounded otherwise in another batch; a mean in place of a sum is off by half."""


def check_metrics(task: Task[Any, Any], data: Data) -> None:
    """Checks that a search can have an objective, and that an evaluation gives every metric that a measure declares.

    Raises:
        FamilyError: No metric is search-invariant, or a measure gives other metrics than it declares.
    """
    if not any(metric.search_invariant for metric in metrics_of(task)):
        raise FamilyError(
            "one metric must mean the same in every trial, so that a study can be searched by it, got "
            f"{', '.join(metric.name for metric in metrics_of(task)) or 'no metric'}; declare one with "
            "search_invariant=True"
        )
    module = TaskModule(task, _model(task, data))
    evaluate_split(
        task,
        data,
        lambda batch: module(batch, None),
        ProcessGroup(rank=0, size=1, device=torch.device("cpu")),
        split="val",
        batch_size=MAX_SAMPLES // 2,
        max_samples=MAX_SAMPLES,
    )


def check_states(task: Task[Any, Any], data: Data) -> None:
    """Checks that the states of two halves of a batch add up to that of the whole, and are summed in float64.

    Raises:
        FamilyError: They do not, or a sum over samples is taken in single precision; the message names its line.
    """
    indices = np.arange(min(NUM_SAMPLES, data.num_samples("val")))
    model = _model(task, data)
    parts = [part for part in (indices, *np.array_split(indices, 2)) if len(part)]
    for measure in task.measures():
        watches = [RoughSums(measure, len(part)) for part in parts]
        whole, *halves = (
            _state(task, measure, model, data, part, watch)
            for part, watch in zip(parts, watches, strict=True)
        )
        if line := rough_line(watches):
            raise FamilyError(
                f"sums of a measure must be taken in float64, got one in single precision in {line} of "
                f"{_name(measure)}; convert what is summed with .double() before the sum"
            )
        for name, value in whole.items():
            _check_entry(measure, name, value, [half.get(name) for half in halves])


def _state(
    task: Task[Any, Any],
    measure: Measure,
    model: nn.Module,
    data: Data,
    indices: np.ndarray,
    watch: RoughSums,
) -> State:
    batch = task.evaluation_batch(data, "val", indices)
    with torch.no_grad():
        outputs = task.predict(model, batch)
        with watch:
            state = measure.add(outputs, batch)
    if not isinstance(state, Mapping):
        raise FamilyError(f"{_name(measure)} must return a state, got {type(state).__name__}; return a dict")
    return state


def _check_entry(measure: Measure, name: str, whole: Any, halves: Sequence[Any]) -> None:
    """Checks one entry of a state.

    Raises:
        FamilyError: It is no sum.
    """
    where = f"{name!r} of {_name(measure)}"
    if not all(isinstance(value, Tensor | PerUnit) for value in (whole, *halves)):
        raise FamilyError(
            f"entries of a state must be tensors or tables of units, in every batch, got {_kinds(whole, halves)} for "
            f"{where}; return torch.tensor of a number"
        )
    if isinstance(whole, PerUnit):
        joined = PerUnit.joined(halves)
        same = torch.equal(joined.keys, whole.keys) and _close(joined.values, whole.values)
        found = joined.total()
        expected = whole.total()
    elif name in measure.rows:
        found, expected = torch.cat(list(halves)), whole
        same = found.shape == expected.shape and _close(found, expected)
    else:
        if is_rough(whole) and not is_exact(whole):
            raise FamilyError(
                f"sums of a measure must be taken in float64, got {whole.dtype} for {where}; convert what is summed "
                "with .double() before the sum"
            )
        found, expected = sum(half.double() for half in halves), whole.double()
        same = found.shape == expected.shape and _close(found, expected)
    if not same:
        raise FamilyError(
            f"the state of a measure must add up over batches, got {_short(expected)} for {where}, and "
            f"{_short(found)} in two halves; keep sums and counts, never means, and divide in summarize"
        )


def _close(one: Tensor, other: Tensor) -> bool:
    if not one.is_floating_point() and not other.is_floating_point():
        return torch.equal(one, other)
    scale = float(other.double().nan_to_num().abs().max()) if other.numel() else 0.0
    return torch.allclose(
        one.double(), other.double(), rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True
    )


def _short(values: Tensor) -> str:
    listed = values.reshape(-1)[:3].tolist()
    more = ", ..." if values.numel() > len(listed) else ""
    return f"{', '.join(f'{value:.6g}' for value in listed) or 'nothing'}{more}"


def _kinds(whole: Any, halves: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(type(value).__name__ for value in (whole, *halves)))


def _name(measure: Measure) -> str:
    return f"{type(measure).__module__}.{type(measure).__qualname__}.add"


def _model(task: Task[Any, Any], data: Data) -> nn.Module:
    torch.manual_seed(task.config.seed)
    return task.build(task.facts(data)).eval()
