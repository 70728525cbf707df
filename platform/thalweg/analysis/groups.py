"""Trials grouped by a parameter: mean, spread and cost of each group, such as a fusion over its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis.wording import counted, score
from thalweg.config import nested_leaves
from thalweg.errors import StudyError
from thalweg.search.records import StudyRecord, TrialRecord

COSTS: Mapping[str, str] = {
    "cost/num_parameters": "parameters",
    "cost/epoch_s": "s/epoch",
    "cost/peak_memory_mib": "MiB",
}
"""What a trial takes: names among its metrics, and how they are headed."""
GAP = 2  # blanks between columns


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trials that share the values of some parameters.

    Attributes:
        key: The values they share.
        trials: The complete ones.
        num_stopped: How many were pruned or failed.
    """

    key: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    num_stopped: int = 0

    @property
    def values(self) -> list[float]:
        """Objective of each trial."""
        return [trial.value for trial in self.trials if trial.value is not None]

    @property
    def mean(self) -> float | None:
        """Mean of the objective; None where no trial is complete."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the objective as estimated from the sample; None for one trial."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def metric(self, name: str) -> float | None:
        """Returns the mean of another metric over the trials that have it."""
        found = [trial.metrics[name] for trial in self.trials if name in trial.metrics]
        return statistics.fmean(found) if found else None


def _known(name: str, known: Mapping[str, None], record: StudyRecord) -> str:
    """Returns the parameter or knob that a name stands for."""
    found = [name] if name in known else [other for other in known if other.rpartition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    params = dict.fromkeys(param for trial in record.ranking() for param in trial.params)
    advice = f"try one of {', '.join(found)}" if found else f"{record.name!r} searched {', '.join(params)}"
    raise StudyError(f"trials are grouped by a parameter or a knob, got {name!r}; {advice}")


def groups(record: StudyRecord, names: Sequence[str]) -> list[Group]:
    """Groups the trials of a study by parameters or knobs, the best mean first.

    What was tried and never came to its end is a group as well, in the end: it was not found worse, only stopped.

    Args:
        record: The study.
        names: Searched parameters, or knobs of the configuration such as ``model.fusion``, whose last word is enough
            where no other knob ends in it. A trial that lacks one, because its space did not ask, has ``-`` for it.

    Raises:
        StudyError: No trial has such a parameter or knob, or none is complete.
    """
    complete = record.ranking()
    if not complete:
        raise StudyError(f"a study must have complete trials to be grouped, {record.name!r} has none yet")
    trials = [*complete, *_stopped(record)]
    settings = [nested_leaves(trial.config) | dict(trial.params) for trial in trials]
    known = dict.fromkeys(name for values in settings for name in values)
    names = [_known(name, known, record) for name in names]
    found: dict[tuple[str, ...], list[TrialRecord]] = {}
    for trial, values in zip(trials, settings, strict=True):
        key = tuple(str(values.get(name, "-")) for name in names)  # as it is, for rounded ones may coincide
        found.setdefault(key, []).append(trial)
    made = []
    for key, members in found.items():
        judged = tuple(trial for trial in members if trial.status == "complete")
        made.append(Group(key=key, trials=judged, num_stopped=len(members) - len(judged)))
    sign = -1 if record.mode == "max" else 1
    return sorted(made, key=lambda group: math.inf if group.mean is None else sign * group.mean)


def _stopped(record: StudyRecord) -> list[TrialRecord]:
    return [
        trial for trial in record.trials if trial.status in ("pruned", "failed") and not trial.interrupted
    ]


def draw(record: StudyRecord, names: Sequence[str], others: Sequence[str], width: int) -> RenderableType:
    """Lays groups out, one per line; what does not fit beside mean and cost is left out.

    Args:
        record: The study.
        names: What to group by.
        others: Metrics beside the objective whose mean is shown.
        width: Characters of a line.
    """
    found = groups(record, names)
    columns = {
        name.rpartition(".")[2]: [group.key[place] for group in found] for place, name in enumerate(names)
    }
    columns["trials"] = [str(len(group.trials)) for group in found]
    if any(group.num_stopped for group in found):
        columns["stopped"] = [str(group.num_stopped) for group in found]
    columns[str(record.definition["metric"])] = [
        score(group.mean) + ("" if group.spread is None else f" +- {score(group.spread)}") for group in found
    ]
    for name, column in _optional(found, others, record.mode).items():
        if _width({**columns, name: column}) <= width:
            columns[name] = column
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
    for place, head in enumerate(columns):
        is_key = place < len(names)
        table.add_column(
            head, justify="left" if is_key else "right", style="cyan" if is_key else "", no_wrap=True
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def footnote(record: StudyRecord) -> str:
    """Says what a table of groups shows and what it leaves out."""
    left = len(_stopped(record))
    beside = f"; stopped, and in no mean: {counted(left, 'trial')} pruned or failed" if left else ""
    return f"means over complete trials +- standard deviation{beside}"


def _optional(found: Sequence[Group], others: Sequence[str], mode: str) -> dict[str, list[str]]:
    """Returns columns in the order in which they are wanted: costs, extremes with the better first, other metrics."""
    columns = {
        head: [cost(name, group.metric(name)) for group in found]
        for name, head in COSTS.items()
        if any(group.metric(name) is not None for group in found)
    }
    extremes = {
        "lowest": [score(min(group.values, default=None)) for group in found],
        "highest": [score(max(group.values, default=None)) for group in found],
    }
    for name in sorted(extremes, reverse=mode == "min"):
        columns[name] = extremes[name]
    return columns | {name: [score(group.metric(name)) for group in found] for name in others}


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(max(len(cell) for cell in (head, *cells)) + GAP for head, cells in columns.items())


def cost(name: str, value: float | None) -> str:
    """Writes what a trial takes: whole numbers but for seconds."""
    if value is None:
        return "-"
    return f"{value:.2f}" if name.endswith("_s") else f"{value:,.0f}"
