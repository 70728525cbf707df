"""The leaderboard beside the baselines, with wins and losses marked, and what the trials were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thalweg.analysis.comparison import LOSS, WIN
from thalweg.analysis.groups import COSTS
from thalweg.console.formatting import clock, cost, number, score
from thalweg.reporting.blocks import Block, Chapter, Prose, ReportTable, Row, TableCell, words
from thalweg.reporting.chapters.findings import better
from thalweg.reporting.material import Material
from thalweg.search.store.records import TrialRecord
from thalweg.wording import counted

MAX_ROWS = 100
"""Trials in a table; all are in the CSV."""
CSV_NAME = "trials.csv"


def ranking(material: Material) -> Chapter:
    """Returns two tables of the best trials: by metrics beside the baselines, and by parameters and costs."""
    trials = material.board.ranked()[:MAX_ROWS]
    if not trials:
        return Chapter("leaderboard", "Leaderboard", [Prose("No trial was evaluated.")])
    return Chapter(
        "leaderboard", "Leaderboard", [*_metrics(material, trials), *_parameters(material, trials)]
    )


def _metrics(material: Material, trials: Sequence[TrialRecord]) -> Iterator[Block]:
    shown = [material.objective, *material.board.other_metrics()]
    complete = [trial for trial in trials if trial.status == "complete"]
    rows = _among_baselines(material, complete, shown)
    if not rows:
        return
    comparison = material.board.comparison
    heads = ["trial", *(_head(material, name) for name in shown)]
    beside = (
        f" `{WIN}` better and `{LOSS}` worse than the best baseline by that metric; grey rows are baselines, which are "
        "evaluated in the same way."
        if comparison.baselines
        else " No baseline is recorded."
    )
    yield ReportTable(
        heads=heads,
        rows=rows,
        caption=f"{_how_many(material, len(complete))}, best {material.objective} first; {better(material)}.{beside} "
        f"{_of_constraints(material)}`{CSV_NAME}` holds all trials.",
    )


def _of_constraints(material: Material) -> str:
    return "Trials that break a constraint come last. " if material.board.breaking() else ""


def _head(material: Material, name: str) -> str:
    metric = material.declared.get(name)
    return name if metric is None or metric.unit == "1" else f"{name} [{metric.unit}]"


def _how_many(material: Material, shown: int) -> str:
    total = len(material.ranking)
    if shown == total:
        return counted(total, "complete trial")
    return f"The best {shown} of {total:,} complete trials"


def _among_baselines(material: Material, trials: Sequence[TrialRecord], shown: Sequence[str]) -> list[Row]:
    """Returns rows of trials and of all baselines, best first; a baseline stands before a trial that equals it."""
    board = material.board
    sign = -1.0 if material.record.mode == "max" else 1.0
    rows: list[tuple[bool, float, int, Row]] = []
    for name, value in board.comparison.ordered(material.objective):
        values = board.baselines[name]
        cells = (TableCell(score(values.get(metric)) if metric in values else "") for metric in shown)
        rows.append((False, sign * value, 0, Row([TableCell(name), *cells], "baseline")))
    for place, trial in enumerate(trials):
        breaks = bool(material.record.broken(trial))
        head = TableCell(f"{trial.number} (breaks)" if breaks else f"{trial.number}")
        row = Row([head, *(_marked(material, trial, each) for each in shown)], "best" if place == 0 else "")
        rows.append((breaks, sign * (trial.value or 0.0), 1 + place, row))
    return [row for *_, row in sorted(rows, key=lambda each: each[:3])] if trials else []


def _marked(material: Material, trial: TrialRecord, metric: str) -> TableCell:
    value = trial.value if metric == material.objective else trial.metrics.get(metric)
    best = material.board.comparison.best(metric)
    return TableCell(score(value), "" if best is None else best.mark(value))


def _parameters(material: Material, trials: Sequence[TrialRecord]) -> Iterator[Block]:
    costs = {name: head for name, head in COSTS.items() if any(name in trial.metrics for trial in trials)}
    heads = [
        "trial",
        "ended as",
        material.objective,
        *material.parameters,
        "samples",
        "time",
        *costs.values(),
    ]
    rows = []
    for place, trial in enumerate(trials):
        params = [number(trial.params[name]) if name in trial.params else "-" for name in material.parameters]
        spent = [number(trial.samples), clock(trial.seconds)]
        cells = [str(trial.number), trial.ended_as or trial.status, score(trial.value), *params, *spent]
        cells += [cost(name, trial.metrics.get(name)) for name in costs]
        rows.append(Row(words(cells), "best" if place == 0 and trial.status == "complete" else ""))
    stopped = any(trial.status != "complete" for trial in trials)
    last = f"; trials that were stopped come last, with their last {material.objective}" if stopped else ""
    yield ReportTable(
        heads=heads,
        rows=rows,
        caption=f"What the trials were and what they cost, in the same order{last}. Time in minutes and seconds; "
        "s/epoch: seconds of a pass over the training split; MiB: peak memory of a worker.",
        num_words=2,
    )
