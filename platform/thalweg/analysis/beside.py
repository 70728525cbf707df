"""What stands beside a trial: the best baseline by each metric, and whether the trial wins or loses there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from thalweg.analysis.wording import score
from thalweg.contract import Metric, Mode

HEAD = "best baseline"
WIN, LOSS, TIE = "+", "-", "="
"""Plain characters, which need no colour."""
LEGEND = f"{WIN} better and {LOSS} worse than the best baseline by that metric"
_STYLES = {WIN: "green", LOSS: "yellow", TIE: "dim"}


@dataclass(frozen=True)
class Best:
    """The best baseline by one metric.

    Attributes:
        name: The baseline.
        value: What it reaches.
        mode: Whether smaller or larger is better.
    """

    name: str
    value: float
    mode: Mode

    def mark(self, value: float | None) -> str:
        """Returns whether a trial's value is better, worse or equal; nothing where it has none."""
        if value is None or math.isnan(value):
            return ""
        if value == self.value:
            return TIE
        return WIN if (value > self.value) == (self.mode == "max") else LOSS


class Beside:
    """Baselines to compare trials with.

    Args:
        baselines: Metrics of each baseline.
        metrics: What the family declares.
        objective: Name of the study's metric.
        mode: Its direction; that of others is declared.
    """

    def __init__(
        self,
        baselines: Mapping[str, Mapping[str, float]],
        metrics: Sequence[Metric],
        objective: str,
        mode: Mode,
    ) -> None:
        self._baselines = baselines
        self._objective = objective
        self._modes: dict[str, Mode] = {metric.name: metric.mode for metric in metrics} | {objective: mode}

    def best(self, metric: str) -> Best | None:
        """Returns the best baseline by a metric; None where no baseline has it."""
        mode = self._modes.get(metric)
        found = self.ordered(metric)
        return Best(found[0], self._baselines[found[0]][metric], mode) if mode and found else None

    def ordered(self, metric: str) -> list[str]:
        """Names the baselines that have a metric, the best first."""
        known = {name: values[metric] for name, values in self._baselines.items() if _has(values, metric)}
        return sorted(known, key=lambda name: known[name], reverse=self._modes.get(metric) == "max")

    def cell(self, metric: str) -> Text:
        """Writes value and name of the best baseline by a metric."""
        best = self.best(metric)
        return Text("-" if best is None else f"{score(best.value)} {best.name}", style="dim")

    def marked(self, metric: str, value: float | None, style: str = "") -> Text:
        """Writes a trial's value with its mark, aligned with values that have none."""
        best = self.best(metric)
        mark = "" if best is None else best.mark(value)
        if not self._baselines:
            return Text(score(value), style=style)
        return Text.assemble((score(value), style), " ", (mark or " ", _STYLES.get(mark, "")))

    def line(self) -> Text | None:
        """Lists all baselines by the objective, the best first; None where there is none."""
        found = [
            f"{name} {score(self._baselines[name][self._objective])}"
            for name in self.ordered(self._objective)
        ]
        return Text(f"baselines by {self._objective}: {', '.join(found)}", style="dim") if found else None

    def width(self, metrics: Sequence[str]) -> int:
        """Returns the characters that the column of best baselines takes, 0 where there are none."""
        cells = [len(self.cell(metric)) for metric in metrics]
        return max(len(HEAD), *cells) if self._baselines and cells else 0


def _has(values: Mapping[str, float], metric: str) -> bool:
    return not math.isnan(values.get(metric, math.nan))
