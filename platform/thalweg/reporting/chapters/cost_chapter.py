"""What a study cost, and how its trials ended."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime

from thalweg.analysis.groups import COSTS
from thalweg.console.board import reasons
from thalweg.console.formatting import clock, cost
from thalweg.reporting.blocks import Block, Bullets, Chapter, Facts, Prose, ReportTable, Row, words
from thalweg.reporting.material import Material
from thalweg.search.stopping.limits import spent
from thalweg.wording import counted

_UNITS = {
    "cost/num_parameters": ("parameters of the best model", ""),
    "cost/epoch_s": ("a pass over the training split, best trial", " s"),
    "cost/peak_memory_mib": ("peak memory of a worker, best trial", " MiB"),
}


def cost_chapter(material: Material) -> Chapter:
    """Returns hours, samples and hardware of all trials, and the share of each way to end."""
    return Chapter("cost", "Cost", [Facts([*_whole(material)]), _endings(material), *_failures(material)])


def _whole(material: Material) -> Iterator[tuple[str, str]]:
    used = spent(material.record.trials, datetime.now())
    yield "time with a trial running", _hours(used.hours)
    yield "time of all trials together", f"{_hours(used.lane_hours)} on a lane"
    yield "training samples of all trials", f"{used.samples:,}"
    seconds = [trial.seconds for trial in material.ranking]
    if seconds:
        yield (
            "a complete trial",
            f"median {clock(statistics.median(seconds))}, longest {clock(max(seconds))} (minutes:seconds)",
        )
    best = material.record.best()
    for name in COSTS if best is not None else ():
        if best is not None and name in best.metrics:
            what, unit = _UNITS.get(name, (name, ""))
            yield what, f"{cost(name, best.metrics[name])}{unit}"
    for session in material.sessions[-1:]:
        lanes = counted(session.num_lanes, "lane")
        yield (
            "hardware",
            f"{session.tags.get('hardware', 'not recorded')}, {lanes} of {counted(session.num_workers, 'worker')}",
        )


def _hours(hours: float) -> str:
    return f"{60 * hours:.1f} minutes" if hours < 2 else f"{hours:.1f} hours"


def _endings(material: Material) -> ReportTable:
    ended = material.board.ended()
    groups: dict[str, list[float]] = {}
    for trial in ended:
        groups.setdefault(trial.ended_as or trial.status, []).append(trial.seconds)
    total = sum(sum(each) for each in groups.values()) or 1.0
    rows = [
        Row(words([word, f"{len(each):,}", _hours(sum(each) / 3600), f"{sum(each) / total:.0%}"]))
        for word, each in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]
    return ReportTable(
        heads=["ended as", "trials", "time", "share of time"],
        rows=rows,
        caption=(
            f"How {counted(len(ended), 'trial')} ended. `pruned`: stopped early; `diverged`: a loss or the objective "
            "was not finite; `out_of_memory`, `infeasible`, `data`, `infrastructure`: what failed."
        ),
    )


def _failures(material: Material) -> Iterator[Block]:
    if found := reasons(material.board.ended()):
        yield Prose("Why trials failed:")
        yield Bullets(found)
