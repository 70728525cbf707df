"""Commands that show the best trials of studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thalweg.cli.options import (
    RUNS,
    Data,
    Output,
    Storage,
    Tracking,
    teller,
    terminal,
    tracked,
    typed_command,
)
from thalweg.errors import ConfigError
from thalweg.files import writing

if TYPE_CHECKING:
    from thalweg.search.store.records import At, StudyRecord

_PARTS = "`encoders` of water_mae, `images` of rgb_lidar, `encoder` of geo_contrastive"


def best(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a study; `thalweg studies` lists them.")
    ],
    output: Output = RUNS,
    storage: Storage = None,
    data: Data = None,
    export: Annotated[Path | None, typer.Option(help="Write the model to this file.")] = None,
    part: Annotated[str | None, typer.Option(help=f"Export this part: {_PARTS}.")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw pictures of the best trials, also into MLflow.")
    ] = False,
    test: Annotated[
        bool,
        typer.Option("--test", help="Evaluate it and the baselines on the test split, also into MLflow."),
    ] = False,
    at: Annotated[
        Literal["last", "best"],
        typer.Option(help="Evaluation of the trial whose weights --export and --test take."),
    ] = "last",
    tracking_uri: Tracking = None,
) -> None:
    """Shows the best trial of a study: metrics, configuration, checkpoint, and the command to train it again.

    Example: `thalweg best quickstart --export best.pt --test --pictures`

    The value of a trial is that of its last evaluation. If an earlier one was better, its weights are kept too.
    The exported file holds weights, configuration and what the model needs of the data. `thalweg.inference.load`
    builds the model from it; `torch.load("best.pt", weights_only=True)` reads it. `--pictures` draws all complete
    trials whose checkpoint is kept.
    """
    from thalweg.analysis import studies
    from thalweg.analysis.best import export_best
    from thalweg.analysis.pictures import pictures_of_best
    from thalweg.console import best_view
    from thalweg.tracking.address import check_tracking, default_uri

    _goes_somewhere(at, part, export, test)
    console = terminal()
    tell = teller(console)
    record = studies.find(output, study, storage)
    written = None if export is None else export_best(record, export, data, at, part)
    best_view.show_best(record, output / study, console)
    if written is not None:
        tell(best_view.export_sentence(written))
    uri = tracking_uri or default_uri()
    if test or pictures:
        check_tracking(uri)
    directory = (output / study).absolute()
    if pictures:
        for sentence in pictures_of_best(record, directory, uri, data):
            tell(sentence)
    if test:
        _read_test(record, study, directory, data, at, uri)


def _read_test(record: StudyRecord, study: str, directory: Path, data: Path | None, at: At, uri: str) -> None:
    """Evaluates the best trial on the split ``test``, and says how often that was read."""
    from thalweg.analysis import held_out
    from thalweg.analysis.declared import family_of
    from thalweg.analysis.verdict.reading_log import log_folder, log_reading, told
    from thalweg.console import best_view
    from thalweg.datasets.catalogue import data_root

    console = terminal()
    tell = teller(console)
    root = data_root(family_of(record), data)
    read = log_reading(record, directory, root, typed_command(), f"the best trial of {study}")
    found = held_out.evaluate_best(record, data, at)
    best_view.show_held_out(record, found, console)
    tell(held_out.track(record, found, directory, uri))
    tell(told(read, log_folder(record, directory).name))


def lineage(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study with a population.")],
    trial: Annotated[
        int | None, typer.Option(min=0, help="Number of the trial. \\[default: all complete ones]")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the schedules to this file.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw values over training, also into MLflow.")
    ] = False,
    output: Output = RUNS,
    storage: Storage = None,
    tracking_uri: Tracking = None,
) -> None:
    """Shows the schedules that a population has found: who continued whom, from where to where, with what values.

    Examples: `thalweg lineage members`, `thalweg lineage members --trial 12 --json schedule.json`

    `thalweg reproduce members --trial 12` trains a schedule again from scratch, segment by segment.
    """
    from thalweg.analysis import studies

    record = studies.find(output, study, storage)
    show_lineage(
        record, (output / study).absolute(), tracked(tracking_uri) if pictures else None, trial, json_file
    )


def show_lineage(
    record: StudyRecord,
    folder: Path,
    uri: str | None,
    trial: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Shows the schedules of a population; writes them to a file and draws them into MLflow if these are named.

    Raises:
        StudyError: It is no population, or no trial is complete.
        OutputError: The file or the picture cannot be written.
        ConnectionFailed: MLflow does not take the picture.
    """
    from thalweg.analysis.lineage.schedules import as_json, lineage_of
    from thalweg.console.analyses import lineage_view

    console = terminal()
    found = lineage_of(record, trial)
    lineage_view.show_lineage(found, console)
    if json_file is not None:
        with writing("the schedules", json_file, "choose another file"):
            json_file.write_text(json.dumps(as_json(found), indent=2) + "\n", encoding="utf-8")
        teller(console)(f"wrote {json_file}")
    if uri is not None:
        from thalweg.analysis.lineage.lineage_picture import store_lineage  # matplotlib

        teller(console)(store_lineage(found, folder, uri))


def _goes_somewhere(at: str, part: str | None, export: Path | None, test: bool) -> None:
    if at == "best" and export is None and not test:
        raise ConfigError("--at chooses the weights of --export and --test, got neither; add one of them")
    if part is not None and export is None:
        raise ConfigError(
            f"a part of the best model must have a file to go to, got {part!r}; add --export FILE"
        )


def ui(
    tracking_uri: Tracking = None,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
) -> None:
    """Opens MLflow's pages on this machine, to compare the trials of all studies.

    Example: `thalweg ui`, then http://127.0.0.1:5000 in a browser. Ctrl-C stops it.
    """
    from thalweg.tracking.address import default_uri
    from thalweg.tracking.ui import serve_ui

    serve_ui(tracking_uri or default_uri(), port=port, tell=teller(terminal()))
