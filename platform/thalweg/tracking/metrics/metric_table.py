"""All metrics and training curves of a run, as a table that MLflow keeps beside it as an artifact."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

TABLE_FILE = "metrics.csv"
TEST_TABLE_FILE = "test_metrics.csv"
_SAMPLES, _TIME = "samples", "time_ms"


class MetricTable:
    """Metrics by the samples seen: a row for each evaluation and each point of a training curve.

    The columns are ``samples``, ``time_ms`` (since 1970) and the metrics, named as in MLflow. A value that is written
    again replaces the one before, so that events may be repeated.
    """

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, float]] = {}
        self._times: dict[int, int] = {}
        self._names: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, samples: int, values: Mapping[str, float], time_ms: int) -> None:
        """Adds metrics at a number of samples; those that are not finite, too."""
        self._rows.setdefault(samples, {}).update(values)
        self._times[samples] = max(time_ms, self._times.get(samples, 0))
        self._names |= dict.fromkeys(values)

    def at(self, samples: int) -> dict[str, float]:
        """Returns the metrics at a number of samples; none if it has no such row."""
        return dict(self._rows.get(samples, {}))

    def before(self, time_ms: int, prefix: str) -> dict[str, float]:
        """Returns the last value before a time of each metric whose name begins with a prefix."""
        found: dict[str, float] = {}
        for samples in sorted(self._rows):
            if self._times[samples] < time_ms:
                found |= {
                    name: value for name, value in self._rows[samples].items() if name.startswith(prefix)
                }
        return found

    def text(self) -> str:
        """Returns the table as CSV, by ascending samples; every float is exact."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([_SAMPLES, _TIME, *self._names])
        for samples in sorted(self._rows):
            row = self._rows[samples]
            cells = (repr(float(row[name])) if name in row else "" for name in self._names)
            writer.writerow([samples, self._times[samples], *cells])
        return text.getvalue()

    @classmethod
    def parse(cls, text: str) -> MetricTable:
        """Reads what `text` wrote.

        Raises:
            ValueError: It is no such table.
        """
        table, rows = cls(), csv.DictReader(io.StringIO(text))
        names = list(rows.fieldnames or ())
        if names[:2] != [_SAMPLES, _TIME]:
            raise ValueError(
                f"a table of metrics must begin with samples and times, got {', '.join(names[:2])}"
            )
        table._names = dict.fromkeys(names[2:])
        for row in rows:
            values = {name: float(row[name]) for name in names[2:] if row[name]}
            table.add(int(row[_SAMPLES]), values, int(row[_TIME]))
        return table


def read_table(client: MlflowClient, run_id: str, file: str = TABLE_FILE) -> MetricTable:
    """Reads the table of a run; an empty one if the run has none, as those of earlier versions of Thalweg."""
    if file not in {each.path for each in client.list_artifacts(run_id)}:
        return MetricTable()
    with tempfile.TemporaryDirectory() as folder:
        return MetricTable.parse(
            Path(client.download_artifacts(run_id, file, folder)).read_text(encoding="utf-8")
        )


def write_table(client: MlflowClient, run_id: str, table: MetricTable, file: str = TABLE_FILE) -> None:
    """Writes the table of a run; one that is there is replaced."""
    client.log_text(run_id, table.text(), file)
