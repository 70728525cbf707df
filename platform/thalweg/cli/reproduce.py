"""The command that trains a recorded trial again and compares it with its record, bit for bit."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.options import RUNS, Data, Output, Storage, Tracking, teller, terminal
from thalweg.lanes.interruption import ending_at_once, is_worker

if TYPE_CHECKING:
    from rich.console import Console

    from thalweg.search.reproduction.original import Original

FOLDER = "reproduce"
_STOPPED = "of this training nothing is kept, and the record of {} is as it was; the same command begins anew"


def reproduce(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Name of a study, or the id of a trial's run in MLflow.")
    ],
    trial: Annotated[
        int | None, typer.Option(min=0, help="Number of the trial. \\[default: the study's best]")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Compare only evaluations up to so many samples.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that train it together. \\[default: as many as trained it]"),
    ] = None,
    output: Output = RUNS,
    storage: Storage = None,
    data: Data = None,
    tracking_uri: Tracking = None,
) -> None:
    """Trains a trial again from its record alone, and says whether its numbers are equal bit for bit.

    Examples: `thalweg reproduce quickstart`, `thalweg reproduce quickstart --trial 4 --samples 1024`,
    `thalweg reproduce 2f0c7d9b1e8a4c55b1d3f6a7c8e9d0b1`

    Its search space need not exist any more. It first says what differs from the record: data, code, libraries, device
    or workers. Exit code 0 if all is equal, 1 if not. As many workers train it as before, on this machine; with
    `--workers 1` one does, with other last digits. `torchrun` may start them, too.
    """
    original = _find(run, trial, output, storage, tracking_uri)
    original.points(samples)
    try:
        if (count := _workers(original, workers)) > 1:
            words = _words(run, trial, samples, output, storage, data, tracking_uri)
            raise typer.Exit(_launched(count, words, _folder(original, output, os.getpid()), terminal()))
        raise typer.Exit(0 if _reproduced(original, samples, output, data, terminal()) else 1)
    except KeyboardInterrupt:
        if not is_worker():
            teller(terminal())(_STOPPED.format(original.title))
        raise


def _workers(original: Original, asked: int | None) -> int:
    """Returns how many workers are to be started; 1 if this process is one of them."""
    from thalweg.search.reproduction.several_workers import workers_of

    return 1 if is_worker() else asked or workers_of(original)


def _words(
    run: str,
    trial: int | None,
    samples: int | None,
    output: Path,
    storage: str | None,
    data: Path | None,
    tracking_uri: str | None,
) -> list[str]:
    """Returns the command that each worker runs."""
    options = {
        "--trial": trial,
        "--samples": samples,
        "--output": output,
        "--storage": storage,
        "--data": data,
        "--tracking-uri": tracking_uri,
    }
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return ["reproduce", run, *given]


def _launched(count: int, words: list[str], folder: Path, console: Console) -> int:
    """Returns the exit code of the workers, and deletes what killed ones leave in their folder."""
    from thalweg.search.reproduction.retraining import clear
    from thalweg.search.reproduction.several_workers import launch

    teller(console)(f"starts {count} workers on this machine")
    try:
        return launch(count, words)
    finally:
        clear(folder)


def _folder(original: Original, output: Path, launcher: int) -> Path:
    """Returns the folder for checkpoints, which a launcher and its workers spell alike, by its process id."""
    from thalweg.study_folder import trial_name

    return output.absolute() / FOLDER / f"{original.study}-{trial_name(original.number)}-{launcher}"


def _find(
    run: str, trial: int | None, output: Path, storage: str | None, tracking_uri: str | None
) -> Original:
    from thalweg.analysis import studies
    from thalweg.search.reproduction import mlflow_run
    from thalweg.search.reproduction.original import of_study
    from thalweg.study_folder import StudyFolder
    from thalweg.tracking.address import check_tracking, default_uri

    if mlflow_run.is_run_id(run) and not StudyFolder(output / run).journal.exists():
        check_tracking(uri := tracking_uri or default_uri())
        return mlflow_run.of_run(uri, run, trial, storage)
    return of_study(studies.find(output, run, storage), trial, (output / run).absolute())


def _reproduced(
    original: Original, samples: int | None, output: Path, data: Path | None, console: Console
) -> bool:
    """Trains the trial again and shows it; returns whether all is equal."""
    from thalweg.search.reproduction.modules import code_differences

    code = code_differences(original)  # before torch, and before the family is imported
    with ending_at_once():
        from thalweg.console.analyses.reproduction_view import show_begin, show_end, show_pair
        from thalweg.search.reproduction.differences import compare
        from thalweg.search.reproduction.retraining import reproduce as train_again
        from thalweg.training.process_group import join
        from thalweg.training.session import DataCache

    group, cache = join(original.num_threads), DataCache()
    found = compare(original, group, cache, code, data, teller(console))
    show_begin(original, found, console)
    folder = group.same(_folder(original, output, os.getppid() if is_worker() else os.getpid()))
    result = train_again(original, found, group, cache, folder, samples, partial(show_pair, console=console))
    show_end(original, found, result, console)
    return result.is_equal
