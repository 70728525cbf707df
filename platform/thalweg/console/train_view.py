"""View of a single training: one line per evaluation."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from thalweg.analysis.comparison import Comparison
from thalweg.console.formatting import clock, pairs, score, sparkline
from thalweg.console.tables import metrics_table
from thalweg.contract import metrics_of
from thalweg.discovery import load_family
from thalweg.search.train_one import Single
from thalweg.training import baselines
from thalweg.training.messages import Report


class CurveView:
    """Writes a line for each evaluation of a single training.

    Args:
        single: What is trained.
        console: Where to write.
    """

    def __init__(self, single: Single, console: Console) -> None:
        self._single = single
        self._console = console
        self._curve: list[float] = []
        self._seconds = 0.0
        if single.params:
            self._console.print(Text.assemble(("parameters  ", "bold"), (pairs(single.params), "cyan")))

    def report(self, report: Report) -> None:
        """Writes the report of an evaluation."""
        order = self._single.order
        for note in report.notes:
            self._console.print(note, markup=False, soft_wrap=True)
        if not self._curve:
            self._baselines()
        self._curve.append(report.value)
        self._seconds += sum(report.timings.values())
        line = Text(f"{report.samples:>11,} samples  {order.metric} ")
        line.append(f"{score(report.value):<9}", style="bold")
        curve = sparkline(self._curve, 24, ascii_only=self._console.options.ascii_only)
        line.append(curve.ljust(min(24, len(order.evaluations)) + 2), style="cyan")
        self._console.print(line.append(clock(self._seconds), style="dim"))

    def close(self, report: Report) -> None:
        """Writes the metrics of the last report and where the checkpoint is."""
        order = self._single.order
        known = baselines.read(Path(order.directory)) or {}
        declared = metrics_of(load_family(type(self._single.config)).task(self._single.config))
        mode = next(metric.mode for metric in declared if metric.name == order.metric)
        fit = [metric.name for metric in declared if metric.search_invariant and metric.name != order.metric]
        comparison = Comparison(known, declared, order.metric, mode)
        self._console.print()
        table = metrics_table("value", report.metrics, [order.metric, *fit], comparison, report.stages)
        self._console.print(table)
        self._console.print("\n[bold]checkpoint[/]")
        self._console.print(Text(f"  {report.checkpoint}"), soft_wrap=True)

    def _baselines(self) -> None:
        metric = self._single.order.metric
        found = baselines.read(Path(self._single.order.directory)) or {}
        for name, metrics in found.items():
            text = f"{'baseline':>11} {name}  {metric} {score(metrics.get(metric))}"
            self._console.print(Text(text, style="dim"))
