"""The command line: parse, call, print.

What a command needs is imported when it runs, so that ``thalweg --help`` answers at once: torch, Ray, Optuna
and MLflow take seconds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from typer.core import TyperGroup

from thalweg.errors import ConfigError, ThalwegError, is_full_disk
from thalweg.lanes.interruption import ending_raises, signal_of
from thalweg.tracking.address import DEFAULT_TRACKING_URI


class Commands(TyperGroup):
    """Reports what a user can mend in one line; any other error keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; exit code 2 for a user's error, 130 after Ctrl-C, 143 after SIGTERM."""
        try:
            with ending_raises():
                return super().invoke(ctx)
        except ThalwegError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            print("stopped", file=sys.stderr)
            raise typer.Exit(128 + signal_of(error)) from None
        except Exception as error:
            if not is_full_disk(error):
                raise
            text = f"error: a disk must have space, got {error}; free some and run the same command again"
            print(text, file=sys.stderr)
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(data_app, name="data", help="Make, import and list data sets.", rich_help_panel="Look around")

Space = Annotated[str, typer.Argument(metavar="SPACE", help="A file in search_spaces/, or a dotted name.")]
Output = Annotated[Path, typer.Option(help="Folder of all studies.")]
Data = Annotated[Path | None, typer.Option(help="Folder of all data. \\[default: $THALWEG_DATA, or data]")]
Storage = Annotated[
    str | None, typer.Option(help="Database of the study instead of a file, as SQLAlchemy URL.")
]
Tracking = Annotated[
    str | None,
    typer.Option(help=f"Where MLflow records. \\[default: $MLFLOW_TRACKING_URI, or {DEFAULT_TRACKING_URI}]"),
]
Lanes = Annotated[int | None, typer.Option(min=1, help="Trials that train at the same time.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that train one trial together.")]
Gpus = Annotated[float | None, typer.Option(min=0, help="GPUs of each worker.")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Continue a shared study whose machine is gone.")]
StudyName = Annotated[str | None, typer.Option(help="Name of the study. \\[default: the space's name]")]
Plain = Annotated[bool, typer.Option("--plain", help="One line per event instead of a live view.")]
RUNS = Path("thalweg_runs")


def main() -> None:
    """Runs the command that was typed."""
    app()


def _console() -> Console:
    """Returns the terminal; silent on all but the first of several workers."""
    return Console(quiet=os.environ.get("RANK", "0") != "0", highlight=False)


def _tell(console: Console) -> Any:
    return lambda text: console.print(text, markup=False, soft_wrap=True)


def _assignments(values: list[str]) -> dict[str, str]:
    """Reads ``name=value`` options."""
    pairs = [value.partition("=") for value in values]
    if broken := [name for name, sign, _ in pairs if not (name and sign)]:
        raise ConfigError(f"an option must be name=value, got {broken[0]!r}")
    return {name.strip(): value for name, _, value in pairs}


@app.callback()
def thalweg() -> None:
    """Searches the hyperparameters of multimodal geoscience models, on a laptop or a Ray cluster.

    Start with `thalweg search quickstart`; then `thalweg ui`.
    """


@app.command(rich_help_panel="Search")
def search(
    space: Space,
    study: StudyName = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials, those of earlier sessions included.")
    ] = None,
    lanes: Lanes = None,
    workers: Workers = None,
    gpus: Gpus = None,
    output: Output = RUNS,
    data: Data = None,
    tracking_uri: Tracking = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster; `auto` finds this machine's.")] = None,
    storage: Storage = None,
    take_over: TakeOver = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for resources.")] = 30.0,
    plain: Plain = False,
    pictures: Annotated[bool, typer.Option(help="Draw what the best trials do, in the end.")] = True,
) -> None:
    """Searches a space, shows it live, and ends with a leaderboard: `thalweg search quickstart`.

    The same command again continues a study that was stopped; `--trials` with a larger number prolongs one
    that is complete. Ctrl-C lets each running trial reach its next evaluation, twice stops at once.

    Next: `thalweg ui`, `thalweg best STUDY`.
    """
    from thalweg.analysis import leaderboard, studies
    from thalweg.analysis.pictures import draw_new
    from thalweg.analysis.terminal import make_view
    from thalweg.events import Notice
    from thalweg.search import run
    from thalweg.search.prepare import prepare
    from thalweg.search.space import load_space
    from thalweg.tracking.address import check_tracking, default_uri
    from thalweg.tracking.recorder import MLflowRecorder

    console = _console()
    uri = tracking_uri or default_uri()
    check_tracking(uri)
    chosen = load_space(space).with_settings(
        num_trials=trials, num_lanes=lanes, num_workers=workers, gpus_per_worker=gpus
    )
    options = run.Options(
        name=study or space, output=output, storage=storage, address=address, wait_s=wait, take_over=take_over
    )
    prepared = prepare(chosen, data, _tell(console), options.sources)
    view = make_view(console, studies.earlier_trials(options), plain=plain)
    recorder = MLflowRecorder(uri, notify=lambda text: view.handle(Notice(text=text)))
    record = run.search(prepared, options, [recorder, view])
    leaderboard.show(leaderboard.of_study(record, options.directory), console)
    flags = {"--data": data, "--tracking-uri": tracking_uri}
    ended = view.standing.ended
    number = 0 if ended is None else ended.signal  # of what interrupted the search
    more = chosen.study.num_trials * (1 if number else 2)
    commands = studies.next_commands(space, options, more, flags, has_best=record.best() is not None)
    leaderboard.guide(studies.places(options, record, uri), commands, console)
    if pictures and not number:
        draw_new(record, options.directory, uri, _tell(console), data)
    if code := 128 + number if number else int(record.best() is None):
        raise typer.Exit(code)


@app.command(rich_help_panel="Search")
def train(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A search space or, with --preset, a family.")
    ],
    param: Annotated[
        list[str] | None, typer.Option(help="A searched parameter as name=value; repeat it.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named configuration of a family, instead of a space.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Another data set than the preset's.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to follow with a preset. \\[default: the family's first]")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Training samples, else the study's.")] = None,
    output: Output = RUNS,
    storage: Storage = None,
    data: Data = None,
) -> None:
    """Trains one configuration of a space, or a preset of a family, in this process, without a search.

    Examples: `thalweg train quickstart --param lr=0.003 --param batch_size=16`,
    `thalweg train water_mae --preset tiny --samples 2048`

    Parameters that are left out take the middle of their range. The same command again continues where it was
    stopped. It is no study: neither MLflow nor `thalweg studies` lists it. Several workers:
    `torchrun --nproc-per-node 2 -m thalweg train quickstart`.
    """
    from thalweg.analysis import curves
    from thalweg.search.single import choose
    from thalweg.search.single import train as run
    from thalweg.search.space import load_space

    console = _console()
    tell = _tell(console)
    if preset is None:
        _only_with_preset({"--dataset": dataset, "--metric": metric})
        asked = load_space(space)
    else:
        from thalweg.search.presets import preset_space

        if param:
            raise ConfigError(
                f"a preset asks no parameter, got --param {param[0]}; leave it out, or write a search space"
            )
        asked = preset_space(space, preset, samples, dataset=dataset, metric=metric, root=data, tell=tell)
        tell(asked.doc)
    chosen = choose(
        asked,
        _assignments(param or []),
        output=output,
        storage=storage,
        root=data,
        samples=samples,
        tell=tell,
    )
    view = curves.CurveView(chosen, console)
    view.close(run(chosen, view.report))


def _only_with_preset(options: dict[str, str | None]) -> None:
    if given := [f"{name} {value}" for name, value in options.items() if value is not None]:
        raise ConfigError(
            f"{given[0].partition(' ')[0]} goes with a preset of a family, got {given[0]} for a search space, "
            "which settles it; add --preset NAME"
        )


@app.command(rich_help_panel="Search")
def best(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a study; `thalweg studies` lists them.")
    ],
    output: Output = RUNS,
    storage: Storage = None,
    data: Data = None,
    export: Annotated[Path | None, typer.Option(help="Write the model to this file.")] = None,
    part: Annotated[
        str | None, typer.Option(help="Export this part: `encoders` of water_mae, `images` of rgb_lidar.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw what the best trials do, also into MLflow.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Evaluate it and baselines on the test split, also into MLflow.")
    ] = False,
    at: Annotated[
        Literal["last", "best"], typer.Option(help="Evaluation whose weights --export and --test take.")
    ] = "last",
    tracking_uri: Tracking = None,
) -> None:
    """Shows the best trial of a study: metrics, configuration, checkpoint, and the command to train it again.

    Example: `thalweg best quickstart --export best.pt --test --pictures`

    The value of a trial is that of its last evaluation; where an earlier one was better, its weights are kept too.
    The exported file holds weights, configuration and what is needed of the data: `torch.load("best.pt",
    weights_only=True)`; `thalweg.training.exported.load` builds the model from it. Pictures are those of all complete
    trials whose checkpoint is kept.
    """
    from thalweg.analysis import held_out, studies
    from thalweg.analysis.pictures import draw_best, sentence
    from thalweg.tracking import pictures as shelf
    from thalweg.tracking.address import check_tracking, default_uri

    _goes_somewhere(at, part, export, test)
    console = _console()
    tell = _tell(console)
    record = studies.find(output, study, storage)
    written = "" if export is None else studies.export_best(record, export, data, at, part)
    studies.show_best(record, output / study, console)
    if written:
        tell(written)
    uri = tracking_uri or default_uri()
    if test or pictures:
        check_tracking(uri)
    directory = (output / study).absolute()
    for drawn in draw_best(record, directory, data) if pictures else ():
        if drawn.trouble:
            tell(f"trial {drawn.number} has no pictures: {drawn.trouble}")
            continue
        run = shelf.record(uri, study, directory, drawn.number, drawn.folder)
        tell(sentence(drawn, uri, run))
    if test:
        found = held_out.evaluate_best(record, data, at)
        held_out.show(record, found, console)
        tell(held_out.track(record, found, directory, uri))


def _goes_somewhere(at: str, part: str | None, export: Path | None, test: bool) -> None:
    if at == "best" and export is None and not test:
        raise ConfigError("--at chooses the weights of --export and --test, got neither; add one of them")
    if part is not None and export is None:
        raise ConfigError(
            f"a part of the best model must have a file to go to, got {part!r}; add --export FILE"
        )


@app.command(rich_help_panel="Search")
def ui(
    tracking_uri: Tracking = None,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
) -> None:
    """Opens MLflow's pages on this machine, to compare the trials of all studies.

    Example: `thalweg ui`, then http://127.0.0.1:5000 in a browser. Ctrl-C stops it.
    """
    from thalweg.tracking.address import default_uri
    from thalweg.tracking.ui import serve_ui

    serve_ui(tracking_uri or default_uri(), port=port, say=_tell(_console()))


@app.command(rich_help_panel="Search")
def show(
    study: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")],
    by: Annotated[
        list[str] | None, typer.Option(help="Group trials by a parameter or knob; repeat it for several.")
    ] = None,
    output: Output = RUNS,
    storage: Storage = None,
) -> None:
    """Shows what studies found, without running anything: their leaderboards, or means over groups of trials.

    Example: `thalweg show rgb_lidar_fusion_seeds --by fusion`
    """
    from thalweg.analysis import leaderboard, studies

    console = _console()
    for name in study:
        board = leaderboard.of_study(studies.find(output, name, storage), output / name)
        leaderboard.show(board, console, by or ())


@app.command(rich_help_panel="Look around")
def studies(output: Output = RUNS) -> None:
    """Lists the studies that were run here. Next: `thalweg best STUDY`."""
    from thalweg.analysis import studies as room

    _console().print(room.listing(output))


@app.command(rich_help_panel="Look around")
def spaces() -> None:
    """Lists the search spaces. Next: `thalweg search SPACE`."""
    from thalweg.analysis import listing

    _console().print(listing.spaces())


@app.command(rich_help_panel="Look around")
def families() -> None:
    """Lists the model families. Next: `thalweg describe FAMILY`."""
    from thalweg.analysis import listing

    _console().print(listing.families())


@app.command(rich_help_panel="Look around")
def describe(
    family: Annotated[
        str, typer.Argument(metavar="FAMILY", help="A folder in trainables/, or a dotted name.")
    ],
    preset: Annotated[str | None, typer.Option(help="Named configuration whose values are shown.")] = None,
) -> None:
    """Describes a family: every knob, the parameters of each part, metrics and data sets.

    Example: `thalweg describe water_mae --preset tiny`
    """
    from thalweg.analysis.describe import show_family
    from thalweg.discovery import load_family

    show_family(load_family(family), preset, _console())


@data_app.command("list")
def list_data(data: Data = None) -> None:
    """Lists the data sets of all families, those that exist and those that could."""
    from thalweg.analysis import listing
    from thalweg.datasets.catalogue import data_sets

    _console().print(listing.data_sets(data_sets(data)))


@data_app.command("make")
def make_data(
    family: Annotated[str, typer.Argument(help="A family with synthetic data sets.")],
    world: Annotated[str | None, typer.Argument(help="One of them. \\[default: all]")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the world as name=value.")] = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of a data set with options.")] = None,
    data: Data = None,
) -> None:
    """Makes synthetic data sets, in the layout and with the irregularities of the real ones.

    Example: `thalweg data make rgb_lidar default --option difficulty=0.5 --as easy`

    `thalweg describe FAMILY` explains the options.
    """
    from thalweg.datasets.making import make, make_variant

    tell = _tell(_console())
    if not (option or name):
        made = make(family, world, data, tell)
    elif world and name:
        made = [make_variant(family, world, name, _assignments(option or []), data, tell)]
    else:
        raise ConfigError(
            "a world with options must be named and get a name of its own, "
            f"got {world or 'all worlds'} and {name or 'no name'}; add --as NAME"
        )
    for folder in made:
        tell(str(folder))


@data_app.command("show")
def show_data(
    family: Annotated[str, typer.Argument(help="A family that shows its data.")],
    dataset: Annotated[
        str | None, typer.Argument(help="A data set. \\[default: the first synthetic one]")
    ] = None,
    fiftyone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write it into FiftyOne under this name instead.")
    ] = None,
    output: Output = RUNS,
    data: Data = None,
    tracking_uri: Tracking = None,
) -> None:
    """Shows a data set: counts, pictures, tables and one page that needs no network, in a folder and in MLflow.

    Example: `thalweg data show rgb_lidar tiny`, then `thalweg ui`
    """
    from thalweg.datasets.showing import export_fiftyone, show
    from thalweg.tracking.address import check_tracking, default_uri
    from thalweg.tracking.datasets import EXPERIMENT, record

    tell = _tell(_console())
    if fiftyone is not None:
        tell(export_fiftyone(family, dataset, fiftyone, output, data, tell))
        return
    uri = tracking_uri or default_uri()
    check_tracking(uri)
    shown = show(family, dataset, output, data, tell)
    tell(f"{shown.found.report}\n\npage    {shown.page}\nfolder  {shown.folder}")
    record(uri, shown.name, shown.folder, shown.found)
    tell(f"MLflow  {uri}, experiment {EXPERIMENT}, run {shown.name}: thalweg ui")


@data_app.command("import")
def import_data(
    source: Annotated[str, typer.Argument(help="A public data set; `thalweg data list` names them.")],
    folder: Annotated[Path, typer.Argument(help="Folder with the files as they were downloaded.")],
    option: Annotated[list[str] | None, typer.Option(help="An option of the source as name=value.")] = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of the new data set.")] = None,
    data: Data = None,
) -> None:
    """Turns a public data set into the layout of its family, and says what is observed and what derived.

    Example: `thalweg data import gb-hydrology DOWNLOADS/gb_hydrology --option catchments=100 --as gb-small`

    `thalweg describe FAMILY` explains the options.
    """
    from thalweg.datasets.importing import import_source

    tell = _tell(_console())
    target, report = import_source(source, folder, name=name, options=_assignments(option or []), root=data)
    tell(f"{report}\n{target}")
