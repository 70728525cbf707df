"""The trials of a study as a CSV: one row for each, with all that its record holds in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from thalweg.config import nested_leaves
from thalweg.search.store.records import LINEAGE, StudyRecord, TrialRecord

_FIRST = ("number", "status", "ended_as", "value")
_LAST = ("samples", "seconds", "seed", "continues", "starts_from", "protocol", "started", "ended", "reason")
_COST = "cost/"


def trial_csv(record: StudyRecord) -> str:
    """Returns all trials of a study as CSV, in the order of their numbers.

    Columns: number, status, ended_as, value (the objective at the last evaluation), ``param/NAME``, ``metric/NAME``,
    ``cost/NAME``, samples, seconds, seed, continues (number of the interrupted trial that it continues), starts_from
    (studies whose weights it begins with), protocol, started and ended (local time), reason. What a trial lacks is
    empty. Those of a population have parent, parent_samples and replaces, too: the trial that it continues with other
    values, the samples then, and the trial in whose place it trains.
    """
    rows = [_row(trial) for trial in record.trials]
    middle: dict[str, None] = {}
    for prefix in ("param/", "metric/", _COST):
        middle |= dict.fromkeys(name for row in rows for name in row if name.startswith(prefix))
    text = io.StringIO()
    names = [*_FIRST, *middle, *(LINEAGE if record.is_population else ()), *_LAST]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(trial: TrialRecord) -> dict[str, Any]:
    knobs = nested_leaves(trial.config)
    return {
        **{
            name: getattr(trial, name)
            for name in (*_FIRST, "samples", "seconds", "continues", *LINEAGE, "protocol", "reason")
        },
        **{f"param/{name}": value for name, value in trial.params.items()},
        **{
            name if name.startswith(_COST) else f"metric/{name}": value
            for name, value in trial.metrics.items()
        },
        "seed": knobs.get("seed", ""),
        "starts_from": _listed(trial.config.get("starts_from") or ()),
        "started": "" if trial.started is None else trial.started.isoformat(timespec="seconds"),
        "ended": "" if trial.ended is None else trial.ended.isoformat(timespec="seconds"),
    }


def _listed(names: Iterable[Any]) -> str:
    return " ".join(map(str, names))
