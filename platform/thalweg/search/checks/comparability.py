"""Whether trials are measured alike: one model keeps its objective to the last bit under other configurations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from thalweg.contract import Batch, Outputs, Task, metrics_of
from thalweg.errors import ThalwegError
from thalweg.search.checks.covering import covering
from thalweg.search.checks.draws import Draw, varied, with_choice
from thalweg.search.checks.examined import ALONE, Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.domains import Record
from thalweg.training.evaluation import evaluate_split
from thalweg.training.guards.family_code import blaming
from thalweg.wording import counted, some

MAX_SAMPLES = 64
"""Samples of ``val`` that the model is scored on."""
_BATCH = 32

Comparison: TypeAlias = Literal[
    "same", "measured otherwise", "other metrics otherwise", "read otherwise", "does not fit"
]
Score: TypeAlias = float | None


class FrozenScorer:
    """An untrained model of one configuration, which is scored under others.

    Args:
        examined: The space.
        draw: The configuration.
    """

    def __init__(self, examined: Examined, draw: Draw) -> None:
        self._examined = examined
        self._metric = examined.space.study.metric
        self._task = examined.task(draw.config)
        torch.default_generator.manual_seed(draw.config.seed)
        data = examined.data(self._task)
        self._model: nn.Module = self._task.build(self._task.facts(data)).eval()
        self._outputs: list[Outputs] = []
        self._metrics = self._measured(self._task, self._recorded)
        self.own: Score = self._metrics.get(self._metric)
        self._own = draw

    def compare(self, other: Draw) -> tuple[Comparison, Score]:
        """Scores the model, and then its own predictions again, as another configuration measures them."""
        task = self._examined.task(other.config)
        if task.data_key() == self._task.data_key() and other.config == self._own.config:
            return "same", self.own
        try:
            kept = iter(self._outputs)
            metrics = self._measured(task, lambda batch: next(kept))
            measured = metrics.get(self._metric)
        except (ThalwegError, RuntimeError, ValueError, LookupError, TypeError, StopIteration):
            return "does not fit", None
        if measured != self.own:
            return "measured otherwise", measured
        if any(_differ(metrics[name], self._metrics[name]) for name in metrics.keys() & self._metrics.keys()):
            return "other metrics otherwise", measured
        try:
            read = self._measured(task, partial(self._task.predict, self._model)).get(self._metric)
        except (ThalwegError, RuntimeError, ValueError, LookupError, TypeError):
            return "does not fit", None
        return ("same" if read == self.own else "read otherwise"), read

    def _recorded(self, batch: Batch) -> Outputs:
        outputs = self._task.predict(self._model, batch)
        self._outputs.append(outputs)
        return outputs

    def _measured(self, task: Task[Any, Any], predict: Callable[[Batch], Outputs]) -> Mapping[str, float]:
        """Returns the metrics that should mean the same in every trial."""
        comparable = {metric.name for metric in metrics_of(task) if metric.search_invariant}
        metrics = evaluate_split(
            task,
            self._examined.data(task),
            predict,
            ALONE,
            split="val",
            batch_size=_BATCH,
            max_samples=MAX_SAMPLES,
            is_baseline=True,
        )
        return {name: value for name, value in metrics.items() if name in comparable}


def _differ(one: float, other: float) -> bool:
    return one != other and not (math.isnan(one) and math.isnan(other))


def judge_comparability(examined: Examined, deadline: Deadline) -> Judgement:
    """Scores one model under changed parameters, in configurations that cover the space.

    All parameters are changed at once. Only if that moves the score, or the model does not fit, are they divided to
    find the one that does it.
    """
    faults: dict[str, str] = {}
    reading: dict[str, None] = {}
    elsewhere: dict[str, None] = {}
    fitting: dict[str, None] = {}
    names: dict[str, None] = {}
    left: frozenset[Any] | None = None
    for draw, uncovered in covering(examined.bases):
        names |= dict.fromkeys(draw.params)
        with blaming(examined.family.package):
            scorer = FrozenScorer(examined, draw)
        for name, comparison, found in _compared(examined, scorer, draw, deadline):
            if comparison == "measured otherwise":
                faults.setdefault(name, f"{_written(scorer.own)} and {_written(found)}")
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
        faults=tuple(_fault(examined, name, values) for name, values in faults.items()),
        warnings=_readers([name for name in reading if name not in faults])
        + _movers([name for name in elsewhere if name not in faults]),
        told=f"one model keeps its score whatever {counted(len(fitting), 'parameter')} of {len(names)} are",
        skipped=_skipped(left),
        numbers={"metric": examined.space.study.metric, "moved_by": list(faults), "read_by": list(reading)},
    )


def _skipped(left: frozenset[Any] | None) -> tuple[str, ...]:
    if left is None:
        return ("for time: most configurations",)
    return (
        (f"for time: {counted(len(left), 'pair')} of a parameter and an option of another",) if left else ()
    )


def _compared(
    examined: Examined, scorer: FrozenScorer, draw: Draw, deadline: Deadline
) -> Iterator[tuple[str, Comparison, Score]]:
    values = {
        name: [other.params[name] for other in varied(examined.space, draw, name)] for name in draw.params
    }
    alone: set[str] = set()  # those that did something are not tried with others again
    for turn in range(max(map(len, values.values()), default=0)):
        changes = {name: found[turn] for name, found in values.items() if turn < len(found)}
        together = {name: value for name, value in changes.items() if name not in alone}
        for some_of in (together, *({name: changes[name]} for name in changes.keys() & alone)):
            for name, comparison, score in _divided(examined, scorer, draw, some_of, deadline):
                alone |= {name} if comparison != "same" else set()
                yield name, comparison, score


def _divided(
    examined: Examined, scorer: FrozenScorer, draw: Draw, changes: Mapping[str, Record], deadline: Deadline
) -> Iterator[tuple[str, Comparison, Score]]:
    """Yields what each of some changes does: all at once if they do nothing together, else by halves."""
    if deadline.has_passed or not changes:
        return
    other = with_choice(examined.space, draw, changes)
    if other is not None and changes.items() <= other.params.items():
        comparison, score = scorer.compare(other)
        if comparison == "same" or len(changes) == 1:
            yield from ((name, comparison, score) for name in changes)
            return
    names = list(changes)
    for half in (names[: len(names) // 2], names[len(names) // 2 :]) if len(names) > 1 else ():
        yield from _divided(examined, scorer, draw, {name: changes[name] for name in half}, deadline)


def _fault(examined: Examined, name: str, values: str) -> str:
    return (
        f"a trial must not be measured by what is searched, got {name}: the same predictions have the "
        f"{examined.space.study.metric} {values} for two values of it; evaluate at a fixed protocol, or give it one "
        "value in this study"
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


def _written(value: Score) -> str:
    return "none" if value is None else f"{value:.6g}"
