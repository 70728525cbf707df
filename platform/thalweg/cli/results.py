"""Commands that show the results of studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thalweg.cli.options import RUNS, Data, Output, Storage, Tracking, teller, terminal, typed_command
from thalweg.errors import ConfigError

if TYPE_CHECKING:
    from thalweg.search.store.records import StudyRecord

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
    from thalweg.analysis import held_out, studies
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
        from thalweg.analysis.verdict import sealed_split

        read = sealed_split.log_reading(directory, typed_command(), "the best trial")
        found = held_out.evaluate_best(record, data, at)
        best_view.show_held_out(record, found, console)
        tell(held_out.track(record, found, directory, uri))
        tell(sealed_split.told(read))


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


def show(
    study: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")],
    by: Annotated[
        list[str] | None, typer.Option(help="Group trials by a parameter or knob; repeat it for several.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare the groups of --by by this metric, not by the objective; repeat it for several."
        ),
    ] = None,
    relate: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="METRIC METRIC", help="Show whether two metrics go together over the trials."),
    ] = None,
    importance: Annotated[
        bool, typer.Option("--importance", help="Show how much each searched parameter matters.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw what --relate or --importance shows, also into MLflow.")
    ] = False,
    output: Output = RUNS,
    storage: Storage = None,
    tracking_uri: Tracking = None,
) -> None:
    """Shows the leaderboards of studies, means over groups of their trials, or relations of metrics; runs nothing.

    Examples: `thalweg show rgb_lidar_fusion_seeds --by fusion`,
    `thalweg show sentinel_supcon_seeds --by loss --metric recall_Mines`,
    `thalweg show geo_contrastive_alpha --relate latent_curvature rrmse`, `thalweg show quickstart --importance`

    `--importance` gives the share of the differences between trials that goes with each searched parameter, with an
    interval: few trials do not pretend to know. `--relate` gives the rank correlation of two metrics with an interval;
    trials that differ in the seed alone count once.
    """
    from thalweg.analysis import leaderboard, studies
    from thalweg.analysis.groups import judged_by
    from thalweg.console import board

    _check_view(by, metric, relate, importance, pictures)
    for name in study:
        record, folder = studies.find(output, name, storage), output / name
        if relate is not None:
            _relate(record, relate, folder, pictures, tracking_uri)
        elif importance:
            _importance(record, folder, pictures, tracking_uri)
        else:
            for each in [judged_by(record, one) for one in metric] if metric else [record]:
                board.show(leaderboard.of_study(each, folder), terminal(), by or ())


def _check_view(
    by: list[str] | None,
    metric: list[str] | None,
    relate: tuple[str, str] | None,
    importance: bool,
    pictures: bool,
) -> None:
    """Refuses options of `show` that do not go together."""
    if metric and not by:
        raise ConfigError(
            f"--metric says what groups are compared by, got {metric[0]!r} without --by; add --by"
        )
    if relate is not None and importance:
        raise ConfigError("a table is of --relate or of --importance, got both; give one of the two")
    if by and (relate is not None or importance):
        option = "--importance" if importance else "--relate"
        raise ConfigError(f"{option} takes all trials of a study, got --by beside it; give one of the two")
    if pictures and relate is None and not importance:
        raise ConfigError(
            "--pictures draws what --relate or --importance shows, got neither; `thalweg best STUDY --pictures` draws "
            "models"
        )


def _importance(record: StudyRecord, folder: Path, pictures: bool, tracking_uri: str | None) -> None:
    from thalweg.analysis.importance.parameters import importance_of
    from thalweg.console.importance_view import show_importance
    from thalweg.tracking.address import check_tracking, default_uri

    console = terminal()
    found = importance_of(record)
    show_importance(record.name, found, console)
    if pictures:
        from thalweg.analysis.importance.importance_picture import store_importance  # matplotlib

        uri = tracking_uri or default_uri()
        check_tracking(uri)
        teller(console)(store_importance(found, record.name, folder.absolute(), uri))


def _relate(
    record: StudyRecord, names: tuple[str, str], folder: Path, pictures: bool, tracking_uri: str | None
) -> None:
    from thalweg.analysis.relation import relate
    from thalweg.console.relation_view import show_relation
    from thalweg.tracking.address import check_tracking, default_uri

    console = terminal()
    found = relate(record, names)
    show_relation(record.name, found, console)
    if pictures:
        from thalweg.analysis.relation_picture import store_relation  # matplotlib

        uri = tracking_uri or default_uri()
        check_tracking(uri)
        teller(console)(store_relation(found, record.name, folder.absolute(), uri))
