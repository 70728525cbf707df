"""The metrics of a study's runs: the curated ones go to MLflow as metrics, all of them into the runs' tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from thalweg.events import TrialProgress
from thalweg.tracking import naming
from thalweg.tracking.batch import Batch
from thalweg.tracking.metrics.curated import OBJECTIVE, TRIAL_SECONDS, choose
from thalweg.tracking.metrics.metric_table import MetricTable, read_table, write_table
from thalweg.tracking.spool import DeliveryState, OpenRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_SECONDS = "time/"


class RunMetrics:
    """Collects the metrics of runs.

    A table is in memory as long as its trial runs. A process that takes up a trial of another one reads it from MLflow.

    Args:
        client: Client of the tracking address.
        state: The study, and which metrics of the family its runs show.
    """

    def __init__(self, client: MlflowClient, state: DeliveryState) -> None:
        self._client = client
        self._state = state
        self._tables: dict[str, MetricTable] = {}
        self._changed: set[str] = set()

    def begin(self, run_id: str) -> None:
        """Begins the table of a run that has none, or whose metrics are all told again."""
        self._tables[run_id] = MetricTable()

    def add_evaluation(self, run: OpenRun, event: TrialProgress, time_ms: int, batch: Batch) -> None:
        """Adds an evaluation of a trial, the training curve before it, and the seconds spent so far."""
        family = naming.family_metrics(event.metrics)
        shown = self.shown(family)
        points = [(samples, naming.curve_metrics(point)) for samples, point in event.curves]
        points.append((event.samples, {OBJECTIVE: event.value, **family, **run.seconds}))
        for samples, values in points:
            batch.add_metrics(run.run_id, values, samples, time_ms, only=shown)
            self.keep(run.run_id, values, samples, time_ms)

    def keep(self, run_id: str, values: Mapping[str, float], samples: int, time_ms: int) -> None:
        """Adds metrics to the table of a run."""
        self._table(run_id).add(samples, values, time_ms)
        self._changed.add(run_id)

    def shown(self, names: Iterable[str]) -> frozenset[str]:
        """Returns which metrics MLflow shows, of those and of Thalweg's own."""
        (objective,) = naming.family_metrics({self._state.started["metric"]: 0.0})
        return choose(names, self._state.shown, objective)

    def seconds_before(self, run: Run, time_ms: int) -> dict[str, float]:
        """Returns the seconds that a trial had spent by activity before a time: events may be delivered again."""
        run_id = run.info.run_id
        found = self._table(run_id).before(time_ms, _SECONDS) or self._recorded_seconds(run, time_ms)
        return {name: value for name, value in found.items() if name != TRIAL_SECONDS}

    def _recorded_seconds(self, run: Run, time_ms: int) -> dict[str, float]:
        """Returns the seconds of a run that an earlier version of Thalweg wrote, which has no table."""
        spent = {}
        for name in run.data.metrics:
            if name.startswith(_SECONDS):
                points = self._client.get_metric_history(run.info.run_id, name)
                before = [(point.timestamp, point.value) for point in points if point.timestamp < time_ms]
                spent[name] = max(before, default=(0, 0.0))[1]
        return spent

    def write(self) -> None:
        """Writes the tables that have changed, and forgets those of runs that have ended."""
        for run_id in sorted(self._changed):
            write_table(self._client, run_id, self._tables[run_id])
        self._changed.clear()
        still = {run.run_id for run in self._state.open.values()}
        self._tables = {run_id: table for run_id, table in self._tables.items() if run_id in still}

    def _table(self, run_id: str) -> MetricTable:
        if run_id not in self._tables:
            self._tables[run_id] = read_table(self._client, run_id)
        return self._tables[run_id]
