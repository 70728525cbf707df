"""Prints the best trial of a study: metrics beside the baselines, configuration, command, checkpoint, hold-out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis import held_out
from thalweg.analysis.best import WrittenModel, best_trial, checkpoint_place
from thalweg.analysis.comparison import Comparison
from thalweg.analysis.declared import comparable, family_of, metrics_of
from thalweg.analysis.next_steps import train_command
from thalweg.analysis.studies import space_name
from thalweg.config import active, parse
from thalweg.console.formatting import clock, score
from thalweg.console.tables import (
    HEAD,
    LEGEND,
    add_others,
    baselines_line,
    best_cell,
    marked_cell,
    metrics_table,
    plain_table,
)
from thalweg.contract import not_measured
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.search.store.storage import output_flag
from thalweg.study_folder import StudyFolder
from thalweg.training import baselines
from thalweg.training.baselines import Baselines
from thalweg.training.messages import stages_of
from thalweg.wording import counted, shortened

if TYPE_CHECKING:
    from thalweg.training.hold_out import HeldOut


def show_best(record: StudyRecord, folder: Path, console: Console) -> None:
    """Prints the best trial: metrics beside the baselines, configuration, command, checkpoint.

    Args:
        record: The study.
        folder: Its folder, which holds the baselines.
        console: Where to print.

    Raises:
        StudyError: No trial is complete.
    """
    trial = best_trial(record)
    known = baselines.read(StudyFolder(folder).checkpoints) or {}
    metric = record.definition["metric"]
    title = Text.assemble(
        (f"{record.name}, trial {trial.number}", "bold"), f"  {metric} {score(trial.value)}"
    )
    title.append(f"  after {trial.samples:,} samples in {clock(trial.seconds)}")
    if broken := record.broken(trial):
        title.append(f"\nno complete trial keeps the constraints, and this one breaks {broken}", "yellow")
    console.print(title, "", _metrics(record, trial, known), "", _config(record, trial), sep="\n")
    console.print("\n[bold]train it again[/]")
    if trial.parent is not None:  # its values are those of the last segment alone
        told = f"thalweg reproduce {record.name} --trial {trial.number}{output_flag(folder.parent)}"
        command = f"{told}\n  (segment by segment; thalweg lineage {record.name} shows its schedule)"
    else:
        command = train_command(space_name(record), trial.params, folder.parent, record.overrides)
    for line in command.splitlines():
        console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
    console.print("\n[bold]checkpoint[/]")
    console.print(Text(f"  {checkpoint_place(record, trial.checkpoint)}"), soft_wrap=True)
    best = record.evaluation(trial, "best")
    if best.samples != trial.samples:
        console.print(
            f"\n[bold]best evaluation[/]  {metric} {score(best.value)} after {best.samples:,} samples"
        )
        console.print(Text(f"  {checkpoint_place(record, best.checkpoint)}"), soft_wrap=True)


def _metrics(record: StudyRecord, trial: TrialRecord, known: Baselines) -> RenderableType:
    """Lists the metrics of a trial: the search-invariant ones beside the baselines, then the others."""
    fit = comparable(record)
    comparison = Comparison(known, metrics_of(record), fit[0], record.mode)
    return metrics_table(f"trial {trial.number}", trial.metrics, fit, comparison, stages_of(trial.metrics))


def _config(record: StudyRecord, trial: TrialRecord) -> RenderableType:
    """Returns the knobs that act in the configuration of a trial."""
    table = Table.grid(padding=(0, 2))
    for name, value in active(parse(family_of(record).config_type, dict(trial.config))).items():
        table.add_row(Text(name), Text(shortened(value), style="green"))
    return Group(Text("configuration", style="bold"), table)


def export_sentence(exported: WrittenModel) -> str:
    """Returns a sentence on what was written to the file of a model."""
    return (
        f"wrote {exported.file}: {exported.num_values:,} fp32 weights in {exported.num_tensors} tensors, the "
        f"configuration, and what is needed of the data; {exported.metric} {score(exported.evaluation.value)} after "
        f"{exported.evaluation.samples:,} samples"
    )


def show_held_out(record: StudyRecord, found: HeldOut, console: Console) -> None:
    """Prints the metrics on both splits side by side, with the best baseline on ``test``.

    Those on ``test`` of an earlier stage that is compared stand between; its metrics on ``val`` are in `show_best`.
    """
    comparison = held_out.comparison(record, found)
    table = plain_table()
    table.add_column(f"trial {best_trial(record).number} after {counted(found.samples, 'sample')}")
    earlier = {f"test after\n{stage}": metrics for stage, metrics in found.test_stages.items()}
    columns = {"val": found.val, **earlier, "test": found.test}
    for head in columns:
        blank = "  " if head == "test" and found.baselines else ""
        table.add_column(f"{head}{blank}", justify="right", no_wrap=True)
    if found.baselines:
        table.add_column(HEAD, no_wrap=True)
    fit = held_out.invariant(record, found)
    for name, value in fit.items():
        cells = [score(columns[head].get(name)) for head in columns if head != "test"]
        marked = marked_cell(comparison, name, value, "bold")
        table.add_row(name, *cells, marked, best_cell(comparison, name))
    add_others(table, [*fit], [*columns.values()])
    console.print(
        "", Text("on the split test, by which no trial was selected", style="bold"), table, sep="\n"
    )
    if (line := baselines_line(comparison)) is not None:
        console.print(Text(f"{LEGEND}; baselines on test as well", style="dim"), line, sep="\n")
    for sentence in not_measured("test", found.unmeasured):
        console.print(Text(sentence, style="dim"), soft_wrap=True)
