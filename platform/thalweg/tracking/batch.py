"""Batches metrics, parameters, tags and data sets by run, and sends them in as few requests as MLflow allows."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thalweg.tracking import naming

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

MAX_METRICS = 900  # of 1000 entities in a request; the rest is left to parameters and tags
MAX_PARAMS = 90  # of 100
MAX_TAGS = 10
MAX_DATA_NAME_LENGTH = 500
MAX_DIGEST_LENGTH = 36


@dataclass
class _Pile:
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    data: dict[tuple[str, str], DatasetInput] = field(default_factory=dict)


class Batch:
    """Metrics, parameters, tags and data sets that are still to be sent to MLflow, by run."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._piles: dict[str, _Pile] = {}
        self._ends: dict[str, tuple[str, int]] = {}

    def add_metrics(
        self,
        run_id: str,
        values: Mapping[str, float],
        step: int,
        time_ms: int,
        *,
        only: Collection[str] | None = None,
    ) -> None:
        """Adds metrics at a number of samples; a tag lists the names of those that are not finite.

        Args:
            run_id: Id of the run.
            values: Metrics by name.
            step: Samples seen.
            time_ms: When they were measured, in milliseconds since 1970.
            only: Names of those that are sent; None sends all.
        """
        finite, others = naming.finite(values)
        kept = {name: value for name, value in finite.items() if only is None or name in only}
        pile = self._pile(run_id)
        names = {name: naming.key(name) for name in kept}
        pile.metrics += [(names[name], value, time_ms, step) for name, value in kept.items()]
        pile.tags |= naming.originals(names)
        if others:
            pile.tags |= naming.tags({"not_finite": f"{', '.join(others)} at {step} samples"})

    def add_params(self, run_id: str, values: Mapping[str, str]) -> None:
        """Adds parameters; MLflow does not allow them to change later."""
        self._pile(run_id).params.update(values)

    def add_tags(self, run_id: str, values: Mapping[str, str]) -> None:
        """Adds tags; a later value replaces an earlier one."""
        self._pile(run_id).tags.update(values)

    def add_data(self, run_id: str, name: str, fingerprint: str) -> None:
        """Adds a data set that a run reads; MLflow keeps one of a name and fingerprint once."""
        self._pile(run_id).data[name, fingerprint] = data_input(name, fingerprint)

    def end(self, run_id: str, status: str, time_ms: int) -> None:
        """Ends a run once everything about it has been sent."""
        self._ends[run_id] = (status, time_ms)

    def send(self) -> None:
        """Sends everything, then ends runs, and empties the batch."""
        from mlflow.entities import Metric, Param, RunTag

        for run_id, pile in self._piles.items():
            metrics = [Metric(*row) for row in dict.fromkeys(pile.metrics)]
            params = [Param(name, value) for name, value in pile.params.items()]
            tags = [RunTag(name, value) for name, value in pile.tags.items()]
            while metrics or params or tags:
                self._client.log_batch(run_id, metrics[:MAX_METRICS], params[:MAX_PARAMS], tags[:MAX_TAGS])
                metrics, params, tags = metrics[MAX_METRICS:], params[MAX_PARAMS:], tags[MAX_TAGS:]
            if pile.data:
                self._client.log_inputs(run_id, list(pile.data.values()))
        self._piles.clear()
        for run_id, (status, time_ms) in self._ends.items():
            self._client.set_terminated(run_id, status, end_time=time_ms)
        self._ends.clear()

    def _pile(self, run_id: str) -> _Pile:
        return self._piles.setdefault(run_id, _Pile())


def data_input(name: str, fingerprint: str) -> DatasetInput:
    """Returns a data set as MLflow's pages list it beside a run, under its name and fingerprint.

    Args:
        name: Name of the data set.
        fingerprint: Digest of what was read of it.
    """
    from mlflow.entities import Dataset, DatasetInput

    short = naming.clip(name, MAX_DATA_NAME_LENGTH)
    source = json.dumps({"uri": name}, ensure_ascii=False)
    return DatasetInput(Dataset(short, naming.clip(fingerprint, MAX_DIGEST_LENGTH), "local", source))
