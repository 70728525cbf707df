"""Groups of trials that share a parameter: mean, spread and cost of each, such as those of a fusion over its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from thalweg.analysis.declared import metrics_of
from thalweg.analysis.relation import value_of
from thalweg.config import nested_leaves
from thalweg.errors import StudyError, meant
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.wording import told_apart

COSTS: Mapping[str, str] = {
    "cost/num_parameters": "parameters",
    "cost/epoch_s": "s/epoch",
    "cost/peak_memory_mib": "MiB",
}
"""Costs of a trial: names among its metrics, with the heads of their columns."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trials that share the values of some parameters.

    Attributes:
        key: The values that they share, as people read them; see `thalweg.wording.told_apart`.
        trials: The complete trials.
        stopped: Those that were pruned or failed.
    """

    key: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    stopped: tuple[TrialRecord, ...] = ()

    @property
    def num_stopped(self) -> int:
        """How many were pruned or failed."""
        return len(self.stopped)

    @property
    def values(self) -> list[float]:
        """Objective of each trial."""
        return [trial.value for trial in self.trials if trial.value is not None]

    @property
    def mean(self) -> float | None:
        """Mean of the objective; None if no trial is complete."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the objective as estimated from the sample; None for one trial."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def metric(self, name: str) -> float | None:
        """Returns the mean of another metric over the trials that have it."""
        found = [trial.metrics[name] for trial in self.trials if name in trial.metrics]
        return statistics.fmean(found) if found else None


def judged_by(record: StudyRecord, name: str) -> StudyRecord:
    """Returns a study as if another metric were its objective, such as the recall of one class.

    A trial whose metric is missing or not finite then has no value. Curves are those of the objective alone.

    Args:
        record: The study.
        name: A metric that its family declares.

    Raises:
        StudyError: No complete trial has such a metric, or the family does not say which direction is better.
    """
    modes = {metric.name: metric.mode for metric in metrics_of(record)}
    if name == record.definition["metric"] and name in modes:
        return record
    trials = [
        replace(trial, value=_finite(value_of(record, trial, name)), curve=()) for trial in record.trials
    ]
    if name not in modes or not any(t.value is not None for t in trials if t.status == "complete"):
        held = {each for trial in record.ranking() for each in (*trial.metrics, record.definition["metric"])}
        there = [each for each in modes if each in held]
        advice = meant(name, there) or f"; there is {', '.join(there) or 'none yet'}"
        raise StudyError(f"groups are judged by a metric of complete trials, got {name!r}{advice}")
    definition = {**record.definition, "metric": name, "mode": modes[name]}
    return replace(record, definition=definition, trials=tuple(trials))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known(name: str, known: Mapping[str, None], record: StudyRecord) -> str:
    """Returns the parameter or knob that a name stands for."""
    found = [name] if name in known else [other for other in known if other.rpartition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    params = dict.fromkeys(param for trial in record.ranking() for param in trial.params)
    searched = f"{record.name!r} searched {', '.join(params)}"
    advice = f"; try one of {', '.join(found)}" if found else f"{meant(name, known) or ';'} {searched}"
    raise StudyError(f"trials are grouped by a parameter or a knob, got {name!r}{advice}")


def groups(record: StudyRecord, names: Sequence[str]) -> list[Group]:
    """Groups the trials of a study by parameters or knobs, the best mean first.

    A group without any complete trial comes last: its trials were stopped, not found worse.

    Args:
        record: The study.
        names: Searched parameters, or knobs of the configuration such as ``model.fusion``, whose last word is enough
            if no other knob ends in it. A trial whose space did not ask for one has ``-`` in its place.

    Raises:
        StudyError: No trial has such a parameter or knob, or none is complete.
    """
    complete = record.ranking()
    if not complete:
        raise StudyError(f"a study must have complete trials to be grouped, {record.name!r} has none yet")
    trials = [*complete, *stopped(record)]
    settings = [nested_leaves(trial.config) | dict(trial.params) for trial in trials]
    known = dict.fromkeys(name for values in settings for name in values)
    names = [_known(name, known, record) for name in names]
    shared = [[values.get(name, "-") for name in names] for values in settings]
    found: dict[tuple[str, ...], list[TrialRecord]] = {}
    columns = [told_apart(values) for values in zip(*shared, strict=True)]
    for trial, shown in zip(trials, zip(*columns, strict=True), strict=True):
        found.setdefault(shown, []).append(trial)
    made = []
    for key, members in found.items():
        judged = tuple(trial for trial in members if trial.status == "complete")
        others = tuple(trial for trial in members if trial.status != "complete")
        made.append(Group(key=key, trials=judged, stopped=others))
    sign = -1 if record.mode == "max" else 1
    return sorted(made, key=lambda group: math.inf if group.mean is None else sign * group.mean)


def stopped(record: StudyRecord) -> list[TrialRecord]:
    """Returns the trials that ended early, pruned or failed."""
    return [trial for trial in record.trials if trial.is_over and trial.status != "complete"]
