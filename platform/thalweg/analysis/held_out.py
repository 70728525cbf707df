"""Reports a study's best trial on the split that it was not selected by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thalweg.analysis.beside import HEAD, LEGEND, Beside
from thalweg.analysis.declared import declared
from thalweg.analysis.studies import best_trial
from thalweg.analysis.wording import counted, score
from thalweg.discovery import load_family
from thalweg.search.prepare import data_root
from thalweg.search.records import At, StudyRecord
from thalweg.tracking import held_out as tracked

if TYPE_CHECKING:
    from thalweg.training.held_out import HeldOut


def evaluate_best(record: StudyRecord, root: Path | None = None, at: At = "last") -> HeldOut:
    """Evaluates a checkpoint of the best trial on the split ``test``.

    Args:
        record: The study.
        root: Folder of all data.
        at: Which evaluation's checkpoint.

    Raises:
        ThalwegError: There is no best trial, its checkpoint is gone, or the data have no such split.
    """
    from thalweg.training.held_out import evaluate  # torch and DeepSpeed

    family = load_family(str(record.definition["family"]).removeprefix("trainables."))
    folder = record.evaluation(best_trial(record), at).checkpoint
    return evaluate(Path(folder or "none"), data_root(family, root))


def invariant(record: StudyRecord, found: HeldOut) -> dict[str, float]:
    """Returns the metrics on ``test`` that mean the same for every trial, the objective first."""
    objective = str(record.definition["metric"])
    fit = [metric.name for metric in declared(record) if metric.search_invariant]
    names = [objective, *(name for name in fit if name != objective)]
    return {name: found.test[name] for name in names if name in found.test}


def show(record: StudyRecord, found: HeldOut, console: Console) -> None:
    """Prints both splits side by side, with the best baseline on ``test``."""
    objective = str(record.definition["metric"])
    beside = Beside(found.baselines, declared(record), objective, record.mode)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    title = f"trial {best_trial(record).number} after {counted(found.samples, 'sample')}"
    table.add_column(title)
    for name in ("val", "test  " if found.baselines else "test"):
        table.add_column(name, justify="right", no_wrap=True)
    if found.baselines:
        table.add_column(HEAD, no_wrap=True)
    for name, value in invariant(record, found).items():
        marked = beside.marked(name, value, "bold")
        table.add_row(name, score(found.val.get(name)), marked, beside.cell(name))
    console.print("", Text("on the split test, which selected nothing", style="bold"), table, sep="\n")
    if (line := beside.line()) is not None:
        console.print(Text(f"{LEGEND}; baselines on test as well", style="dim"), line, sep="\n")


def track(record: StudyRecord, found: HeldOut, directory: Path, uri: str) -> str:
    """Writes the metrics on ``test`` into MLflow and says so; ``directory`` is the study's folder."""
    number, metrics = best_trial(record).number, invariant(record, found)
    run = tracked.record(uri, record.name, directory, number, metrics, samples=found.samples)
    where = "in MLflow" if run else f"not in MLflow, for {uri} does not know the trial"
    return f"trial {number}: test metrics {where}"
