"""Shows studies that were run: the list of them, and the best trial of one."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis.beside import HEAD, LEGEND, Beside
from thalweg.analysis.declared import declared
from thalweg.analysis.wording import clock, near, score
from thalweg.config import flat, parse
from thalweg.discovery import Family, load_family
from thalweg.errors import StudyError, ThalwegError
from thalweg.search.prepare import data_root
from thalweg.search.records import At, StudyRecord, TrialRecord, read_study
from thalweg.search.run import Options
from thalweg.search.storage import JOURNAL, RUNS, is_driven, output_flag
from thalweg.training import baselines
from thalweg.training.baselines import Baselines
from thalweg.training.orders import CHECKPOINTS


def folders(output: Path) -> list[Path]:
    """Returns the folders of studies below an output folder, by name."""
    return sorted(path.parent for path in output.glob(f"*/{JOURNAL}"))


def listing(output: Path) -> RenderableType:
    """Lists the studies of an output folder; one that cannot be read with the reason."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("study", "state", "trials", "complete", "pruned", "failed", "best", "space"):
        left = name in ("study", "state", "space")
        table.add_column(name, justify="left" if left else "right", no_wrap=name in ("study", "best"))
    for folder in folders(output):
        try:
            record = read_study(folder, folder.name)
        except ThalwegError as error:
            table.add_row(Text(folder.name, style="red"), Text(f"unreadable: {error}", style="red"))
            continue
        counts = _counts(record)
        planned = int(record.definition["study"]["num_trials"])
        best = record.best()
        table.add_row(
            Text(folder.name, style="cyan"),
            _state(folder, sum(counts.values()), planned),
            f"{sum(counts.values())}/{planned}",
            *(str(counts[status]) for status in ("complete", "pruned", "failed")),
            f"{record.definition['metric']} {score(best.value)}" if best else "-",
            _space(record),
        )
    return (
        table
        if table.row_count
        else Text(f"no studies in {output}; start one with thalweg search quickstart")
    )


def _space(record: StudyRecord) -> str:
    """Returns the name under which the study's space is asked for."""
    return str(record.definition["space"]).removeprefix("search_spaces.")


def _counts(record: StudyRecord) -> Counter[str]:
    return Counter(trial.status for trial in record.trials if not trial.interrupted and _is_over(trial))


def _is_over(trial: TrialRecord) -> bool:
    return trial.status in ("complete", "pruned", "failed")


def _state(folder: Path, ended: int, planned: int) -> Text:
    if is_driven(folder):
        return Text("running", style="cyan")
    return Text("complete", style="green") if ended >= planned else Text("stopped", style="yellow")


def find(output: Path, name: str, storage: str | None = None) -> StudyRecord:
    """Reads a study.

    Raises:
        StudyError: There is none of this name; the message names those that there are.
    """
    if storage is None and not (output / name / JOURNAL).exists():
        known = ", ".join(folder.name for folder in folders(output)) or "none"
        raise StudyError(f"no study {name!r} in {output} (found: {known}); --output names another folder")
    return read_study(output / name, name, storage)


def best_trial(record: StudyRecord) -> TrialRecord:
    """Returns the best complete trial.

    Raises:
        StudyError: No trial is complete.
    """
    best = record.best()
    if best is None:
        counts = _counts(record)
        ended = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no trial that ended"
        raise StudyError(
            f"a study must have a complete trial to have a best one, {record.name!r} has {ended}"
        )
    return best


def train_command(space: str, params: Mapping[str, Any], output: Path = RUNS) -> str:
    """Writes the command that trains one parameter set, one parameter per line.

    Args:
        space: Name of the search space.
        params: Values by name.
        output: Folder of all studies, where those lie that the trial starts from.
    """
    options = [f"--param {shlex.quote(f'{name}={value}')}" for name, value in params.items()]
    return " \\\n  ".join([f"thalweg train {shlex.quote(space)}{output_flag(output)}", *options])


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
    known = baselines.read(folder / CHECKPOINTS) or {}
    metric = record.definition["metric"]
    title = Text.assemble(
        (f"{record.name}, trial {trial.number}", "bold"), f"  {metric} {score(trial.value)}"
    )
    title.append(f"  after {trial.samples:,} samples in {clock(trial.seconds)}")
    console.print(title, "", _metrics(record, trial, known), "", _config(_family(record), trial), sep="\n")
    console.print("\n[bold]train it again[/]")
    for line in train_command(_space(record), trial.params, folder.parent).splitlines():
        console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
    console.print("\n[bold]checkpoint[/]")
    console.print(Text(f"  {_kept(record, trial.checkpoint)}"), soft_wrap=True)
    best = record.evaluation(trial, "best")
    if best.samples != trial.samples:
        console.print(
            f"\n[bold]best evaluation[/]  {metric} {score(best.value)} after {best.samples:,} samples"
        )
        console.print(Text(f"  {_kept(record, best.checkpoint)}"), soft_wrap=True)


def _kept(record: StudyRecord, checkpoint: str | None) -> str:
    """Says where a checkpoint lies, or why it does not."""
    if checkpoint is None or Path(checkpoint).exists():
        return checkpoint or "not kept"
    return f"gone: {checkpoint}" if record.keeps_checkpoints else "not kept"


def _metrics(record: StudyRecord, trial: TrialRecord, known: Baselines) -> RenderableType:
    """Lists the metrics of a trial: those that mean the same for a baseline beside it, then its own."""
    metrics = declared(record)
    fit = [metric.name for metric in metrics if metric.search_invariant]
    objective = str(record.definition["metric"])
    beside = Beside(known, metrics, objective, record.mode)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metrics")
    table.add_column(f"trial {trial.number}{'  ' if known else ''}", justify="right", no_wrap=True)
    if known:
        table.add_column(HEAD, no_wrap=True)
    for name in (objective, *(name for name in fit if name != objective and name in trial.metrics)):
        table.add_row(name, beside.marked(name, trial.metrics.get(name)), beside.cell(name))
    if (line := beside.line()) is not None:
        return Group(_with_own(table, trial, fit), Text(LEGEND, style="dim"), line)
    return _with_own(table, trial, fit)


def _with_own(table: Table, trial: TrialRecord, fit: Sequence[str]) -> Table:
    """Adds the metrics of a trial that mean something else in every one."""
    if own := [name for name in trial.metrics if name not in fit and "/" not in name]:
        table.add_row(Text("not comparable between trials", style="dim"))
        for name in own:
            table.add_row(Text(name, style="dim"), Text(score(trial.metrics[name]), style="dim"))
    return table


def _family(record: StudyRecord) -> Family:
    return load_family(str(record.definition["family"]).removeprefix("trainables."))


def _config(family: Family, trial: TrialRecord) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, value in flat(parse(family.config_type, dict(trial.config))).items():
        table.add_row(name, Text(str(value), style="green"))
    return Group(Text("configuration", style="bold"), table)


def export_best(
    record: StudyRecord, file: Path, root: Path | None = None, at: At = "last", part: str | None = None
) -> str:
    """Writes the best trial's model, or a part of it, to one file, and says so.

    Args:
        record: The study.
        file: File to write.
        root: Folder of all data.
        at: Which evaluation's weights.
        part: The part of the model, a key of `Task.parts`; None writes all of it.

    Raises:
        ThalwegError: There is no best trial, its checkpoint is gone, or the file cannot be written.
    """
    from thalweg.training.export import export  # torch and DeepSpeed

    evaluation = record.evaluation(best_trial(record), at)
    folder = Path(evaluation.checkpoint or "none")
    sizes = export(folder, data_root(_family(record), root), file, part)
    return (
        f"wrote {file}: {sizes['values']:,} fp32 weights in {sizes['tensors']} tensors, the configuration, and what is "
        f"needed of the data; {record.definition['metric']} {score(evaluation.value)} after "
        f"{evaluation.samples:,} samples"
    )


def earlier_trials(options: Options) -> tuple[TrialRecord, ...]:
    """Returns the trials that a study has from earlier sessions; none where it is new."""
    try:
        return read_study(options.directory, options.name, options.storage).trials
    except StudyError:  # opening the study for the search says what is wrong, if anything is
        return ()


def places(options: Options, record: StudyRecord, tracking_uri: str) -> dict[str, str]:
    """Says where a study and its best checkpoint lie, and where MLflow records it."""
    found = {"study folder": near(options.directory), "MLflow": f"{tracking_uri}, experiment {options.name}"}
    best = record.best()
    if best is not None and best.checkpoint:
        found["best checkpoint"] = near(Path(best.checkpoint))
    return found


def next_commands(
    space: str, options: Options, num_trials: int, flags: Mapping[str, Any], *, has_best: bool = True
) -> dict[str, str]:
    """Says what to type after a search.

    Args:
        space: Name of the search space.
        options: Where and how the study ran.
        num_trials: Trials to ask for.
        flags: What else the search was told, by option; None where it kept its default.
        has_best: Whether a trial is complete.
    """
    named = None if options.name == space else options.name
    output = None if options.output == RUNS else options.output
    kept = {"--output": output, "--storage": options.storage}
    more = {"--study": named, "--address": options.address, **kept, **flags}
    uri = {"--tracking-uri": flags.get("--tracking-uri")}
    best = {"use the best": _command(f"thalweg best {options.name}", kept)} if has_best else {}
    return {
        "compare trials": _command("thalweg ui", uri),
        **best,
        "carry on": _command(f"thalweg search {space} --trials {num_trials}", more),
    }


def _command(words: str, flags: Mapping[str, Any]) -> str:
    given = [f"{flag} {shlex.quote(str(value))}" for flag, value in flags.items() if value is not None]
    return " ".join([words, *given])
