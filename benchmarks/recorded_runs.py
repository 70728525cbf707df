"""What MLflow's database holds of the trials of a search, whoever recorded them."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_OF_A_TRIAL = """
select run_uuid, status from runs where run_uuid in (
  select run_uuid from tags where key = 'trial_name' or (key = 'thalweg.kind' and value = 'trial')
) order by start_time
"""


@dataclass(frozen=True)
class RecordedTrial:
    """A trial that was recorded.

    Attributes:
        params: Searched parameters by name.
        curve: Seconds since 1970 and objective of each evaluation, ascending.
        train_s: Seconds of training steps.
        settled: Whether it came to an end that the search meant: its budget, or the scheduler's word.
    """

    params: dict[str, Any]
    curve: tuple[tuple[float, float], ...]
    train_s: float
    settled: bool


@dataclass(frozen=True)
class RecordedSearch:
    """A search that was recorded.

    Attributes:
        trials: Its trials that were begun.
        num_runs: Number of runs, the study's own included.
        num_values: Number of recorded values of metrics.
    """

    trials: tuple[RecordedTrial, ...]
    num_runs: int
    num_values: int

    def best_since(self) -> list[tuple[float, float]]:
        """Returns the moments at which the best objective (the largest) rose, with what it rose to."""
        found: list[tuple[float, float]] = []
        for moment, value in sorted(point for trial in self.trials for point in trial.curve):
            if not found or value > found[-1][1]:
                found.append((moment, value))
        return found


def read(database: Path, metric: str, params: Sequence[str]) -> RecordedSearch:
    """Reads a search; a database that does not exist, or has no tables yet, holds none.

    Args:
        database: SQLite's file.
        metric: The objective.
        params: Names of the searched parameters.
    """
    with closing(sqlite3.connect(database)) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'metrics'").fetchall():
            return RecordedSearch((), 0, 0)
        trials = tuple(
            RecordedTrial(
                params=_params(connection, run, params),
                curve=_curve(connection, run, metric),
                train_s=max((seconds for _, seconds in _curve(connection, run, "time/train_s")), default=0.0),
                settled=status == "FINISHED",
            )
            for run, status in connection.execute(_OF_A_TRIAL).fetchall()
        )
        (num_runs,), (num_values,) = (
            connection.execute(f"select count(*) from {table}").fetchone() for table in ("runs", "metrics")
        )
    return RecordedSearch(trials, num_runs, num_values)


def _params(connection: sqlite3.Connection, run: str, names: Sequence[str]) -> dict[str, Any]:
    rows = dict(connection.execute("select key, value from params where run_uuid = ?", (run,)).fetchall())
    return {name: json.loads(rows[name]) for name in names if name in rows}


def _curve(connection: sqlite3.Connection, run: str, metric: str) -> tuple[tuple[float, float], ...]:
    asked = "select timestamp, value from metrics where run_uuid = ? and key = ? order by step"
    return tuple((moment / 1000, value) for moment, value in connection.execute(asked, (run, metric)))
