"""Whether trials are measured alike: one model keeps its objective to the last bit under other configurations."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from thalweg.contract import Batch, Outputs, Task, metrics_of
from thalweg.errors import ThalwegError
from thalweg.search.checks.covering import covering
from thalweg.search.checks.draws import Draw, varied, with_choice
from thalweg.search.checks.examined import ALONE, Examined, SomeSamples, disturbed
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.domains import Record
from thalweg.training.evaluation import evaluate_split
from thalweg.training.guards.family_code import blaming
from thalweg.wording import counted, some

MAX_SAMPLES = 64
"""Samples of ``val`` that the model is scored on, at the ends of the split and spread over it."""
FEW_SAMPLES = 16
"""The same before a search, which does not wait long."""
_BATCH = 32

Comparison: TypeAlias = Literal[
    "same", "measured otherwise", "other metrics otherwise", "read otherwise", "does not fit"
]
_MISFITS = (ThalwegError, RuntimeError, ValueError, LookupError, TypeError)
"""What a model or a measure raises that does not fit what another configuration gives it."""


class FrozenScorer:
    """A model of one configuration with random weights, which is scored under others.

    A model that never trained mostly calls all samples the same, and a metric that counts calls would not move whatever
    is measured. So its predictions are stretched (`Stretch`), if the metric can be computed of them then.

    Args:
        examined: The space.
        draw: The configuration.
        most: Samples that it is scored on.

    Attributes:
        own: Its objective; None if it is not finite or no metric of the configuration.
    """

    def __init__(self, examined: Examined, draw: Draw, most: int = MAX_SAMPLES) -> None:
        self._examined = examined
        self._most = most
        self._metric = examined.space.study.metric
        self._task = examined.task(draw.config)
        torch.default_generator.manual_seed(draw.config.seed)
        self._data = examined.data(self._task)
        self._model = disturbed(self._task.build(self._task.facts(self._data)).eval())
        self._stretch = Stretch(())
        self._outputs: list[Outputs] = []
        self._metrics = self._evaluated(self._task, self._recorded)
        plain, self._stretch = list(self._outputs), Stretch(self._outputs)
        self._outputs.clear()
        stretched = self._measured(self._task, self._recorded) or {}
        if self._metric in stretched:
            self._metrics = stretched
        else:
            self._outputs, self._stretch = plain, Stretch(())
        self.own = self._metrics.get(self._metric)
        self._own = draw

    def compare(self, other: Draw) -> tuple[Comparison, str]:
        """Scores the model, and then its own predictions again, as another configuration measures them.

        Returns:
            What differs, and by which values.
        """
        task = self._examined.task(other.config)
        if task.data_key() == self._task.data_key() and other.config == self._own.config:
            return "same", ""
        counts = [data.num_samples("val") for data in (self._data, self._examined.data(task))]
        if counts[0] != counts[1]:
            return "measured otherwise", f"val holds {counts[0]:,} and {counts[1]:,} samples"
        kept = iter(self._outputs)
        metrics = self._measured(task, lambda batch: next(kept))
        if metrics is None:
            return "does not fit", ""
        measured = metrics.get(self._metric)
        if measured != self.own:
            values = f"{_written(self.own)} and {_written(measured)}"
            return "measured otherwise", f"the same predictions have the {self._metric} {values}"
        if any(_differ(metrics[name], self._metrics[name]) for name in metrics.keys() & self._metrics.keys()):
            return "other metrics otherwise", ""
        read = self._measured(task, self._predicted)
        if read is None:
            return "does not fit", ""
        return ("same" if read.get(self._metric) == self.own else "read otherwise"), ""

    def _predicted(self, batch: Batch) -> Outputs:
        return self._stretch(self._task.predict(self._model, batch))

    def _recorded(self, batch: Batch) -> Outputs:
        self._outputs.append(self._predicted(batch))
        return self._outputs[-1]

    def _measured(
        self, task: Task[Any, Any], predict: Callable[[Batch], Outputs]
    ) -> Mapping[str, float] | None:
        """Returns the metrics of predictions; None if they do not fit the task."""
        try:
            return self._evaluated(task, predict)
        except (*_MISFITS, StopIteration):
            return None

    def _evaluated(self, task: Task[Any, Any], predict: Callable[[Batch], Outputs]) -> Mapping[str, float]:
        """Returns the metrics that should mean the same in every trial."""
        comparable = {metric.name for metric in metrics_of(task) if metric.search_invariant}
        part = SomeSamples(task, self._examined.data(task), self._most)
        sampled = copy.copy(task)
        sampled.evaluation_batch = part.evaluation_batch  # type: ignore[method-assign]
        metrics = evaluate_split(
            sampled, part, predict, ALONE, split="val", batch_size=_BATCH, is_baseline=True
        )
        return {name: value for name, value in metrics.items() if name in comparable}


class Stretch:
    """Moves predictions to a common mean and spreads the samples as far as places or classes lie apart.

    It is the same linear map for all samples: predictions that are equal stay equal. What is the same for all samples,
    such as the score of a class that is never to be predicted, is left as it is.

    Args:
        outputs: Predictions of all batches; without any, nothing is changed.
    """

    def __init__(self, outputs: Sequence[Outputs]) -> None:
        self._maps: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name in outputs[0] if outputs else ():
            values = [each[name] for each in outputs]
            if not values[0].is_floating_point() or not values[0].ndim:
                continue
            if len({each.shape[1:] for each in values}) == 1:
                whole = torch.cat(values).double()
                mean, varies = whole.mean(0), (whole != whole[0]).any(0)
                if varies.any() and torch.isfinite(whole[:, varies]).all():
                    self._maps[name] = mean, varies, _spread_of(whole[:, varies])

    def __call__(self, outputs: Outputs) -> Outputs:
        """Returns stretched predictions, those of integers as they are."""
        return {name: self._mapped(name, values) for name, values in outputs.items()}

    def _mapped(self, name: str, values: Tensor) -> Tensor:
        if name not in self._maps or values.shape[1:] != self._maps[name][0].shape:
            return values
        mean, varies, (centre, factor) = self._maps[name]
        return torch.where(varies, centre + (values.double() - mean) * factor, values).to(values.dtype)


def _spread_of(values: Tensor) -> Tensor:
    """Returns the mean of values, and how much farther apart places or classes lie than samples; shape (2,).

    Args:
        values: Shape (samples, places or classes).
    """
    apart = (values - values.mean(0)).square().mean().sqrt()
    return torch.stack([values.mean(), (values - values.mean()).square().mean().sqrt() / apart])


def _differ(one: float, other: float) -> bool:
    return one != other and not (math.isnan(one) and math.isnan(other))


def judge_comparability(examined: Examined, deadline: Deadline, most: int = MAX_SAMPLES) -> Judgement:
    """Scores one model under changed parameters, in configurations that cover the space.

    All parameters are changed at once. Only if that moves the score, or the model does not fit, are they divided to
    find the one that does it.

    Args:
        examined: The space.
        deadline: When to stop.
        most: Samples that the model is scored on.
    """
    if slow := examined.too_slow(most, deadline.left):
        return Judgement(check="comparable", told="no model scored", skipped=(slow,))
    faults: dict[str, str] = {}
    reading: dict[str, None] = {}
    elsewhere: dict[str, None] = {}
    fitting: dict[str, None] = {}
    names: dict[str, None] = {}
    left: frozenset[Any] | None = None
    num_tried, num_blind = 0, 0
    for draw, uncovered in covering(examined.bases):
        names |= dict.fromkeys(draw.params)
        with blaming(examined.family.package):
            scorer = FrozenScorer(examined, draw, most)
        num_tried, num_blind = num_tried + 1, num_blind + (scorer.own is None)
        for name, comparison, found in _compared(examined, scorer, draw, deadline):
            if comparison == "measured otherwise":
                faults.setdefault(name, found)
            elif comparison == "read otherwise":
                reading[name] = None
            elif comparison == "other metrics otherwise":
                elsewhere[name] = None
            elif comparison == "same":
                fitting[name] = None
        if deadline.has_passed:
            break
        left = uncovered
    return Judgement(
        check="comparable",
        faults=tuple(_fault(name, found) for name, found in faults.items()),
        warnings=_readers([name for name in reading if name not in faults])
        + _movers([name for name in elsewhere if name not in faults])
        + _blind(examined.space.study.metric, num_blind, num_tried),
        told=f"one model keeps its score whatever {counted(len(fitting), 'parameter')} of {len(names)} are",
        skipped=_skipped(left),
        numbers={"metric": examined.space.study.metric, "moved_by": list(faults), "read_by": list(reading)},
    )


def _blind(metric: str, num_blind: int, num_tried: int) -> tuple[str, ...]:
    if not num_blind:
        return ()
    return (
        f"{metric} is not finite for models with random weights of {num_blind} of {num_tried} configurations, so that "
        "nothing can be said of what moves it there",
    )


def _skipped(left: frozenset[Any] | None) -> tuple[str, ...]:
    if left is None:
        return ("for time: most configurations",)
    return (
        (f"for time: {counted(len(left), 'pair')} of a parameter and an option of another",) if left else ()
    )


def _compared(
    examined: Examined, scorer: FrozenScorer, draw: Draw, deadline: Deadline
) -> Iterator[tuple[str, Comparison, str]]:
    values = {
        name: [other.params[name] for other in varied(examined.space, draw, name)] for name in draw.params
    }
    alone: set[str] = set()  # those that did something are not tried with others again
    for turn in range(max(map(len, values.values()), default=0)):
        changes = {name: found[turn] for name, found in values.items() if turn < len(found)}
        together = {name: value for name, value in changes.items() if name not in alone}
        for some_of in (together, *({name: changes[name]} for name in changes.keys() & alone)):
            for name, comparison, found in _divided(examined, scorer, draw, some_of, deadline):
                alone |= {name} if comparison != "same" else set()
                yield name, comparison, found


def _divided(
    examined: Examined, scorer: FrozenScorer, draw: Draw, changes: Mapping[str, Record], deadline: Deadline
) -> Iterator[tuple[str, Comparison, str]]:
    """Yields what each of some changes does: all at once if they do nothing together, else by halves."""
    if deadline.has_passed or not changes:
        return
    other = with_choice(examined.space, draw, changes)
    if other is not None and changes.items() <= other.params.items():
        comparison, found = scorer.compare(other)
        if comparison == "same" or len(changes) == 1:
            yield from ((name, comparison, found) for name in changes)
            return
    names = list(changes)
    for half in (names[: len(names) // 2], names[len(names) // 2 :]) if len(names) > 1 else ():
        yield from _divided(examined, scorer, draw, {name: changes[name] for name in half}, deadline)


def _fault(name: str, found: str) -> str:
    return (
        f"a trial must not be measured by what is searched, got {name}: {found} for two values of it; evaluate at a "
        "fixed protocol, or give it one value in this study"
    )


def _readers(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (
        f"{some(names)} changes what the model is given to evaluate; this is right if it belongs to the model, such as "
        "the scale of its inputs, and wrong if it makes the task easier",
    )


def _movers(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (
        f"{some(names)} changes metrics beside the objective that should mean the same in every trial, of the same "
        "predictions; that of other models may change too, such as one that counts classes",
    )


def _written(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
