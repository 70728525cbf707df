"""Studies side by side: their settings, their data, and what their searches spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from thalweg.analysis.side_by_side.expected_best import expected_best
from thalweg.analysis.side_by_side.knob_differences import ABSENT, KnobDifference, knob_differences
from thalweg.analysis.studies import ended
from thalweg.config import nested_leaves
from thalweg.hashing import digest
from thalweg.search.stopping.limits import spent
from thalweg.search.store.records import StudyRecord

_ALWAYS = ("samples", "num_evaluations", "num_trials", "sampler", "scheduler")
"""Settings that are shown although they are the same."""
_TOLD_APART = ("metric", "mode")
"""Settings that have a row of their own."""


@dataclass(frozen=True, kw_only=True)
class StudiesCompared:
    """Studies side by side.

    Attributes:
        names: The studies.
        settings: What they are; `ABSENT` in one that has no such setting, or did not record it.
        spent: What their searches took: trials by how they ended, samples, lane hours.
        equal_length: Trials of the shortest search.
        expected: The expected best value of that many trials of each; None in one without a complete trial.
    """

    names: tuple[str, ...]
    settings: tuple[KnobDifference, ...]
    spent: tuple[KnobDifference, ...]
    equal_length: int
    expected: tuple[float | None, ...]

    @property
    def are_equally_long(self) -> bool:
        """Whether the searches ran equally many trials."""
        [row] = [row for row in self.spent if row.name == "trials"]
        return len(set(row.values)) == 1


def compare_studies(records: Sequence[StudyRecord], now: datetime | None = None) -> StudiesCompared:
    """Compares studies; their numbers mean the same thing only if their trials were measured alike.

    Args:
        records: The studies.
        now: The present; None asks the clock.
    """
    lengths = [sum(ended(record).values()) for record in records]
    shortest = min(lengths)
    return StudiesCompared(
        names=tuple(record.name for record in records),
        settings=tuple(_settings(records)),
        spent=tuple(_spent(records, now or datetime.now())),
        equal_length=shortest,
        expected=tuple(expected_of(record, shortest) for record in records),
    )


def expected_of(record: StudyRecord, n: int) -> float | None:
    """Returns the expected best value of n trials of a study; None if there is none."""
    values = [trial.value for trial in record.ranking() if trial.value is not None]
    without = sum(ended(record).values()) - len(values)
    return expected_best(values, n, record.mode, without) if n else None


def shared_code(records: Sequence[StudyRecord]) -> dict[str, dict[str, str]]:
    """Returns hashes of the modules that all studies ran which recorded any, such as those of one family, by study."""
    known = [set(record.code) for record in records if record.code]
    names = set.intersection(*known) if known else set()
    return {
        record.name: {name: record.code[name] for name in sorted(names) if name in record.code}
        for record in records
    }


def _settings(records: Sequence[StudyRecord]) -> list[KnobDifference]:
    """Returns rows that are always shown, then further settings that differ."""
    shared = shared_code(records)
    told: Mapping[str, Callable[[StudyRecord], Any]] = {
        "space": lambda record: record.definition.get("space", ABSENT),
        "version of the space": lambda record: record.definition.get("fingerprint", ABSENT),
        "searched": _searched,
        "data set": _dataset,
        "data fingerprint": lambda record: record.protocol.get("data", ABSENT),
        "protocol": _protocol,
        "shared code": lambda record: digest(shared[record.name]) if record.code else ABSENT,
        "objective": lambda record: f"{record.definition['metric']} ({record.mode})",
    }
    rows = [KnobDifference(name, tuple(map(find, records))) for name, find in told.items()]
    leaves = [
        {
            name: value
            for name, value in nested_leaves(record.definition.get("study", {}), keep_empty=True).items()
            if name not in _TOLD_APART
        }
        for record in records
    ]
    rows += [KnobDifference(name, tuple(each.get(name, ABSENT) for each in leaves)) for name in _ALWAYS]
    others = [{name: each[name] for name in each if name not in _ALWAYS} for each in leaves]
    return rows + knob_differences(others, inside_lists=False)


def _spent(records: Sequence[StudyRecord], now: datetime) -> list[KnobDifference]:
    counts = [Counter(ended(record)) for record in records]
    taken = [spent(record.trials, now) for record in records]
    rows = {"trials": [sum(each.values()) for each in counts]}
    rows |= {status: [each[status] for each in counts] for status in ("complete", "pruned", "failed")}
    rows["samples in all"] = [each.samples for each in taken]
    found = [
        KnobDifference(name, tuple(values))
        for name, values in rows.items()
        if name == "trials" or any(values)
    ]
    return [*found, KnobDifference("lane hours", tuple(each.lane_hours for each in taken))]


def _searched(record: StudyRecord) -> Any:
    names = dict.fromkeys(name for trial in record.trials for name in trial.params)
    return list(names) if names else ABSENT


def _dataset(record: StudyRecord) -> Any:
    return next((trial.config["dataset"] for trial in record.trials if "dataset" in trial.config), ABSENT)


def _protocol(record: StudyRecord) -> Any:
    return next((trial.protocol for trial in record.trials if trial.protocol), ABSENT)
