"""Evaluates a whole split: the states of measures are added up over batches and ranks, so that every mean is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from thalweg.config import plain_scalar
from thalweg.contract import Measure, Outputs, SplitName, State, Task
from thalweg.data.placement import send
from thalweg.errors import DataError, FamilyError
from thalweg.per_unit import PerUnit
from thalweg.training.guards.returned import tensors
from thalweg.training.process_group import ProcessGroup
from thalweg.training.transfer import prefetch_thread, prefetched, ready_to_travel

if TYPE_CHECKING:
    from thalweg.contract import Batch, Data

Predict = Callable[["Batch"], Outputs]
Keep = Callable[[Sequence[Measure], Sequence[State]], None]


def evaluate_split(
    task: Task[Any, Any],
    data: Data,
    predict: Predict,
    group: ProcessGroup,
    *,
    split: SplitName,
    batch_size: int,
    max_samples: int | None = None,
    is_baseline: bool = False,
    keep: Keep | None = None,
) -> dict[str, float]:
    """Evaluates every sample of a split exactly once, whatever the number of workers.

    Args:
        task: Samples the batches and declares the measures.
        data: Opened data.
        predict: Model, engine or baseline applied to a batch; returns what `Task.predict` returns.
        group: Workers that share the split. Every one must call.
        split: Name of the split.
        batch_size: Samples per forward pass.
        max_samples: Samples of the split that are evaluated, the first ones; None takes all.
        is_baseline: Whether it is one of the family's baselines, which may give only some of the declared metrics.
        keep: Called with the measures and their states over the split, on all ranks.

    Returns:
        Metrics by name, equal on all ranks. A metric that is not finite is left out, such as the skill of a modality
        that the split does not hold.

    Raises:
        DataError: The split is empty.
        FamilyError: A metric is no number, is missing or is not declared; on all ranks alike.
    """
    measures = task.measures()
    states = states_of_split(
        task, measures, data, predict, group, split=split, batch_size=batch_size, max_samples=max_samples
    )
    metrics = _summarized(measures, states, partial=is_baseline)
    if keep is not None:
        keep(measures, states)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def states_of_split(
    task: Task[Any, Any],
    measures: Sequence[Measure],
    data: Data,
    predict: Predict,
    group: ProcessGroup,
    *,
    split: SplitName,
    batch_size: int,
    max_samples: int | None = None,
) -> list[State]:
    """Returns the state of each measure over a split, on the CPU, equal on all ranks; see `evaluate_split`."""
    count = min(data.num_samples(split), max_samples or data.num_samples(split))
    if count < 1:
        raise DataError(f"the split {split!r} must hold at least 1 sample, got 0; lengthen its period")
    shares = np.array_split(np.arange(count), group.size)
    mine = shares[group.rank]
    # Sharded weights (ZeRO 3) are gathered in each forward pass, so all ranks take equally many.
    rounds = -(-max(len(share) for share in shares) // batch_size)
    chunks = [mine[number * batch_size : (number + 1) * batch_size] for number in range(rounds)]

    def sample(number: int) -> Batch:
        indices = chunks[number] if len(chunks[number]) else np.zeros(1, dtype=np.int64)
        found = tensors(task.evaluation_batch(data, split, indices), "evaluation_batch")
        batch = ready_to_travel(found, group.device)
        group.beats.add()
        return batch

    states = [_Accumulated(measure) for measure in measures]
    with torch.no_grad(), prefetch_thread(group.device) as executor:
        for chosen, batch in zip(chunks, prefetched(executor, sample, range(rounds)), strict=True):
            batch = move(batch, group.device)
            outputs = tensors(predict(batch), "predict")
            for each in states:
                each.add(outputs, batch, len(chosen))
    return [each.over_ranks(group) for each in states]


class _Accumulated:
    """The state of a measure, added up over batches.

    Args:
        measure: The measure.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._form: dict[str, str] | None = None
        self._sums: dict[str, Tensor] = {}
        self._tables: dict[str, PerUnit] = {}
        self._rows: dict[str, list[Tensor]] = {}

    def add(self, outputs: Outputs, batch: Batch, num_samples: int) -> None:
        """Adds a batch; if ``num_samples`` is 0, the rank has none left and the batch, a filler, does not count."""
        state = self._measure.add(outputs, batch)
        self._check(state)
        for name, value in state.items():
            if isinstance(value, PerUnit):
                table = value if num_samples else value.empty()
                self._tables[name] = self._tables[name] + table if name in self._tables else table
            elif name in self._measure.rows:
                self._rows.setdefault(name, []).append(value[:num_samples])
            else:
                value = value.double() if num_samples else torch.zeros_like(value, dtype=torch.float64)
                self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _check(self, state: Any) -> None:
        """Refuses a state that could not be added to those of other batches."""
        where = f"{type(self._measure).__module__}.{type(self._measure).__qualname__}.add"
        if not isinstance(state, Mapping):
            raise FamilyError(f"{where} must return a state, got {type(state).__name__}; return a dict")
        odd = [
            f"{name} ({type(value).__name__})"
            for name, value in state.items()
            if not isinstance(value, Tensor | PerUnit)
        ]
        if odd:
            raise FamilyError(
                f"entries of a state must be tensors or tables of units, got {', '.join(odd)} of {where}; "
                "return torch.tensor of a number"
            )
        form = {name: self._form_of(name, value) for name, value in sorted(state.items())}
        self._form = form if self._form is None else self._form
        if form != self._form:
            raise _differing(where, self._form, form)

    def _form_of(self, name: str, value: Tensor | PerUnit) -> str:
        """Says what must be alike in all batches."""
        if isinstance(value, PerUnit):
            return f"a table of {value.keys.shape[1]} keys and {tuple(value.values.shape[1:])} sums"
        if name in self._measure.rows:
            return f"rows of {tuple(value.shape[1:])} {value.dtype}"
        return f"sums of {tuple(value.shape)}"

    def over_ranks(self, group: ProcessGroup) -> State:
        """Returns the state over all workers, on the CPU. Every one must call.

        Raises:
            FamilyError: Workers have different names or shapes; on all ranks alike.
        """
        form = group.same(self._form)
        if not group.all_agree(form == self._form):
            where = f"{type(self._measure).__module__}.{type(self._measure).__qualname__}.add"
            raise _differing(where, form, self._form)
        rows = {
            name: torch.cat(group.gather(torch.cat(parts))).cpu()
            for name, parts in sorted(self._rows.items())
        }
        return {
            **_sums_over_ranks(self._sums, group),
            **dict(_tables_over_ranks(self._tables, group)),
            **rows,
        }


def _differing(where: str, one: Mapping[str, str] | None, other: Mapping[str, str] | None) -> FamilyError:
    def told(form: Mapping[str, str] | None) -> str:
        return ", ".join(f"{name} ({each})" for name, each in (form or {}).items()) or "nothing"

    return FamilyError(
        f"{where} must return the same names and shapes for every batch, got {told(one)}, and {told(other)} in "
        "another; return zeros, or no rows, where a batch has nothing to add"
    )


def _sums_over_ranks(sums: Mapping[str, Tensor], group: ProcessGroup) -> dict[str, Tensor]:
    if not sums:
        return {}
    names = sorted(sums)
    packed = group.sum(torch.cat([sums[name].double().reshape(-1) for name in names])).cpu()
    parts = torch.split(packed, [sums[name].numel() for name in names])
    return {name: part.reshape(sums[name].shape) for name, part in zip(names, parts, strict=True)}


def _tables_over_ranks(tables: Mapping[str, PerUnit], group: ProcessGroup) -> Iterator[tuple[str, PerUnit]]:
    for name, table in sorted(tables.items()):
        gathered = zip(group.gather(table.keys), group.gather(table.values), strict=True)
        yield name, PerUnit.joined([PerUnit(*each) for each in gathered]).to("cpu")


def _summarized(measures: Sequence[Measure], states: Sequence[State], *, partial: bool) -> dict[str, float]:
    """Returns the metrics of measures as floats; scalars of numpy and torch are accepted.

    Raises:
        FamilyError: A measure gave something other than it declares; the message names every fault.
    """
    metrics: dict[str, float] = {}
    wrong: list[str] = []
    for measure, state in zip(measures, states, strict=True):
        found = measure.summarize(state) if state else {}
        fault = _fault(measure, found, partial=partial)
        if fault:
            wrong.append(fault)
        else:
            names = [metric.name for metric in measure.metrics if metric.name in found]
            metrics |= {name: float(_number(found[name])) for name in names}
    if wrong:
        raise FamilyError("; ".join(wrong))
    return metrics


def _fault(measure: Measure, found: Any, *, partial: bool) -> str:
    """Says what is wrong with what a measure returned; empty if nothing is."""
    where = f"{type(measure).__module__}.{type(measure).__qualname__}"
    if not isinstance(found, Mapping):
        return f"{where}.summarize must return a dict of metrics, got {type(found).__name__}"
    odd = [
        f"{name} = {_number(value)!r:.60} ({type(value).__name__})"
        for name, value in found.items()
        if isinstance(_number(value), bool) or not isinstance(_number(value), int | float)
    ]
    if odd:
        return f"metrics of {where}.summarize must be numbers, got {', '.join(odd)}; return floats"
    declared = [metric.name for metric in measure.metrics]
    missing = [name for name in declared if name not in found]
    if missing and not partial:
        return (
            f"{where} must give every metric that it declares, got no {', '.join(missing)}; return nan where there "
            "is none"
        )
    unknown = sorted(set(found) - set(declared))
    if unknown:
        return f"{where}.summarize must give declared metrics, got {', '.join(unknown)}; declare a Metric"
    return ""


def _number(value: Any) -> Any:
    return float("nan") if value is np.ma.masked else plain_scalar(value)  # the item of masked is 0


def move(batch: Batch, device: torch.device) -> Batch:
    """Returns a batch on the device; what already lies there is not copied."""
    return {name: send(value, device) for name, value in batch.items()}
