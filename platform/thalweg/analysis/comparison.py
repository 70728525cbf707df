"""Comparison of trials with baselines: the best baseline by each metric, and whether a trial beats it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thalweg.contract import Metric, Mode

WIN, LOSS, TIE = "+", "-", "="
"""Plain characters, which need no colour."""
STARTS = ("untrained", "before_training")
"""Baselines that are the model itself before its training, and so nothing that could be used instead."""


@dataclass(frozen=True)
class BestBaseline:
    """The best baseline by one metric.

    Attributes:
        name: The baseline.
        value: Its value of the metric.
        mode: Whether smaller or larger is better.
        others: The other baselines with their values, the best first, without the model before it was trained.
    """

    name: str
    value: float
    mode: Mode
    others: tuple[tuple[str, float], ...] = field(default=(), compare=False)

    @property
    def values(self) -> dict[str, float]:
        """Values of this baseline and the others, the best first."""
        return {self.name: self.value, **dict(self.others)}

    def mark(self, value: float | None) -> str:
        """Returns `WIN`, `LOSS` or `TIE` for a trial's value beside this one; empty if the trial has none."""
        if value is None or math.isnan(value):
            return ""
        if value == self.value:
            return TIE
        return WIN if (value > self.value) == (self.mode == "max") else LOSS


class Comparison:
    """Baselines to compare trials with.

    Args:
        baselines: Metrics of each baseline.
        metrics: Metrics that the family declares, with their directions.
        objective: Name of the study's metric.
        mode: Whether smaller or larger is better for the objective.
    """

    def __init__(
        self,
        baselines: Mapping[str, Mapping[str, float]],
        metrics: Sequence[Metric],
        objective: str,
        mode: Mode,
    ) -> None:
        self.baselines = baselines
        self.objective = objective
        self._modes: dict[str, Mode] = {metric.name: metric.mode for metric in metrics} | {objective: mode}

    def best(self, metric: str) -> BestBaseline | None:
        """Returns the best baseline by a metric; None if no baseline has it."""
        mode = self._modes.get(metric)
        found = self.ordered(metric)
        others = tuple((name, value) for name, value in found[1:] if name not in STARTS)
        return BestBaseline(*found[0], mode, others) if mode and found else None

    def ordered(self, metric: str) -> list[tuple[str, float]]:
        """Returns the baselines that have a metric with their values, the best first."""
        known = {name: values[metric] for name, values in self.baselines.items() if _has(values, metric)}
        return sorted(known.items(), key=lambda item: item[1], reverse=self._modes.get(metric) == "max")

    def unbeaten(self, value: float) -> list[str]:
        """Returns the names of the baselines whose objective is as good as a value or better, the best first."""
        sign = -1.0 if self._modes[self.objective] == "max" else 1.0
        return [name for name, other in self.ordered(self.objective) if sign * other <= sign * value]


def _has(values: Mapping[str, float], metric: str) -> bool:
    return not math.isnan(values.get(metric, math.nan))
