"""Metrics, costs and curves of trials, row by row, with the difference of each trial from the first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thalweg.analysis.declared import comparable, metrics_of
from thalweg.analysis.groups import COSTS
from thalweg.analysis.relation import value_of
from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.contract import Metric, Mode
from thalweg.training.messages import AFTER

Judgement = Literal["better", "worse", "equal", ""]
"""What a value is beside that of the first trial; empty if one of them is missing, or stopped before its end."""


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """A metric of each trial at its last evaluation.

    Attributes:
        name: The metric; one with a slash in its name was measured at the end of an earlier stage.
        unit: Its unit.
        mode: Whether smaller or larger is better.
        values: Its value for each trial; None for a trial that has none.
        complete: Whether each trial ran to its end; one that was stopped was not found worse.
    """

    name: str
    unit: str
    mode: Mode
    values: tuple[float | None, ...]
    complete: tuple[bool, ...]

    @property
    def differences(self) -> tuple[float | None, ...]:
        """Each value minus that of the first trial."""
        first = self.values[0]
        return tuple(None if first is None or value is None else value - first for value in self.values)

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """What each value is beside that of the first trial."""
        judged = (_judged(difference, self.mode) for difference in self.differences)
        whole = (self.complete[0] and complete for complete in self.complete)
        return tuple(each if is_whole else "" for each, is_whole in zip(judged, whole, strict=True))


@dataclass(frozen=True)
class CostRow:
    """A cost of each trial.

    Attributes:
        name: Its name among the metrics, or ``samples`` or ``seconds``.
        head: What it is, with its unit, for people.
        values: Its value for each trial; None for a trial that has none.
    """

    name: str
    head: str
    values: tuple[float | None, ...]

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Each value as a multiple of that of the first trial."""
        first = self.values[0]
        return tuple(value / first if first and value is not None else None for value in self.values)


@dataclass(frozen=True)
class Curves:
    """The objective of each trial by the samples at its evaluations.

    Attributes:
        samples: Samples of all evaluations, ascending.
        values: Of each trial, its objective at these samples; None where it was not evaluated.
    """

    samples: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]


def metric_rows(sides: Sequence[Side]) -> list[MetricRow]:
    """Returns the search-invariant metrics that a trial has, the objective first, those after earlier stages last.

    Others mean something else in each trial, such as a loss whose weights were searched.
    """
    declared: dict[str, Metric] = {}
    fit: dict[str, None] = {}
    for study in {side.study.name: side.study for side in sides}.values():
        declared |= {metric.name: metric for metric in metrics_of(study)}
        fit |= dict.fromkeys(comparable(study))
    rows = [_row(sides, name, declared.get(name)) for name in [*fit, *_after_stages(sides, fit)]]
    return [row for row in rows if any(value is not None for value in row.values)]


def cost_rows(sides: Sequence[Side]) -> list[CostRow]:
    """Returns what the trials cost."""
    rows = [
        CostRow("samples", "samples", tuple(float(side.trial.samples) for side in sides)),
        CostRow("seconds", "time", tuple(side.trial.seconds or None for side in sides)),
        *(CostRow(name, head, tuple(_finite(side, name) for side in sides)) for name, head in COSTS.items()),
    ]
    return [row for row in rows if any(value is not None for value in row.values)]


def curves(sides: Sequence[Side]) -> Curves:
    """Returns the curves of trials at the evaluations of all of them."""
    known = [dict(side.trial.curve) for side in sides]
    samples = tuple(sorted({point for curve in known for point in curve}))
    return Curves(samples, tuple(tuple(curve.get(point) for point in samples) for curve in known))


def _row(sides: Sequence[Side], name: str, metric: Metric | None) -> MetricRow:
    study = sides[0].study
    if metric is None and "/" in name:
        metric = {each.name: each for each in metrics_of(study)}.get(name.rpartition("/")[2])
    return MetricRow(
        name=name,
        unit=metric.unit if metric else "",
        mode=metric.mode if metric else study.mode,
        values=tuple(_finite(side, name) for side in sides),
        complete=tuple(side.trial.status == "complete" for side in sides),
    )


def _after_stages(sides: Sequence[Side], fit: dict[str, None]) -> list[str]:
    """Returns the names of metrics at the end of earlier stages, such as ``after_projector/accuracy``."""
    names = dict.fromkeys(name for side in sides for name in side.trial.metrics)
    return [name for name in names if name.startswith(AFTER) and name.partition("/")[2] in fit]


def _finite(side: Side, name: str) -> float | None:
    value = value_of(side.study, side.trial, name)
    return value if math.isfinite(value) else None


def _judged(difference: float | None, mode: Mode) -> Judgement:
    if difference is None:
        return ""
    if difference == 0:
        return "equal"
    return "better" if (difference > 0) == (mode == "max") else "worse"
