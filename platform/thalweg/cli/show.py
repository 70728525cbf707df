"""The command that shows studies: leaderboards, groups, relations of metrics, importance of parameters, fronts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from thalweg.cli.options import RUNS, Output, Storage, Tracking, teller, terminal, tracked
from thalweg.errors import ConfigError, ConnectionFailed, StudyError
from thalweg.events import EndedAs

if TYPE_CHECKING:
    from thalweg.search.store.records import StudyRecord

View: TypeAlias = "Callable[[StudyRecord, Path, str | None], None]"
"""Shows a study that lies in a folder, and draws it into MLflow at an address if there is one."""


By = Annotated[
    list[str] | None, typer.Option(help="Group trials by a parameter or knob; repeat it for several.")
]
Judged = Annotated[
    list[str] | None,
    typer.Option(
        help="Compare the groups of --by by this metric, not by the objective; repeat it for several."
    ),
]
Related = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="METRIC METRIC", help="Show whether two metrics go together over the trials."),
]
Front = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC", help="Show the Pareto front of the objective and a metric or cost; repeat it."
    ),
]
Ended = Annotated[
    EndedAs | None,
    typer.Option(metavar="WORD", help="Show only trials that ended as diverged, out_of_memory, data, ..."),
]


def show(
    study: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")],
    by: By = None,
    metric: Judged = None,
    relate: Related = None,
    importance: Annotated[
        bool, typer.Option("--importance", help="Show how much each searched parameter matters.")
    ] = False,
    front: Front = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures", help="Draw what --relate, --importance or --front shows, also into MLflow."
        ),
    ] = False,
    ended_as: Ended = None,
    output: Output = RUNS,
    storage: Storage = None,
    tracking_uri: Tracking = None,
) -> None:
    """Shows the leaderboards of studies, means over groups of their trials, or relations of metrics; runs nothing.

    Examples: `thalweg show rgb_lidar_fusion_seeds --by fusion`, `thalweg show quickstart --ended-as diverged`,
    `thalweg show sentinel_supcon_seeds --by loss --metric recall_Mines`, `thalweg show quickstart --importance`,
    `thalweg show geo_contrastive_alpha --relate latent_curvature rrmse`,
    `thalweg show quickstart --front cost/epoch_s`

    `--importance` gives the share of the differences between trials that goes with each searched parameter, with an
    interval: few trials do not pretend to know. `--relate` gives the rank correlation of two metrics with an interval;
    trials that differ in the seed alone count once. `--front` gives the trials that no other one beats in all of some
    metrics, such as skill and what a pass over the data costs. A study that names further objectives shows that of its
    own below its leaderboard.
    """
    from thalweg.analysis import leaderboard, studies
    from thalweg.analysis.groups import judged_by
    from thalweg.console import board

    view = _view(by, metric, relate, importance, front, ended_as)
    uri = tracked(tracking_uri) if pictures else None
    for name in study:
        record, folder = studies.find(output, name, storage).of_trials(ended_as), output / name
        has_front = bool(record.also) and not by and ended_as is None
        if pictures and view is None and not has_front:
            raise ConfigError(
                "--pictures draws what --relate, --importance or --front shows, got none of them; `thalweg best STUDY "
                "--pictures` draws models"
            )
        if view is not None:
            view(record, folder.absolute(), uri)
            continue
        for each in [judged_by(record, one) for one in metric] if metric else [record]:
            board.show(leaderboard.of_study(each, folder), terminal(), by or ())
        if has_front:
            show_own_front(record, folder.absolute(), uri)


def _view(
    by: list[str] | None,
    metric: list[str] | None,
    relate: tuple[str, str] | None,
    importance: bool,
    front: list[str] | None,
    ended_as: EndedAs | None,
) -> View | None:
    """Returns what shows all trials of a study; None for leaderboards and groups.

    Raises:
        ConfigError: Options do not go together.
    """
    if metric and not by:
        raise ConfigError(
            f"--metric says what groups are compared by, got {metric[0]!r} without --by; add --by"
        )
    views: dict[str, View] = {}
    if relate is not None:
        views["--relate"] = partial(_relate, relate)
    if importance:
        views["--importance"] = _importance
    if front:
        views["--front"] = partial(_front, front)
    if len(views) > 1:
        raise ConfigError(f"a table shows one of {', '.join(views)}, got all of them; give one")
    beside = "--by" if by else "--ended-as" if ended_as else ""
    for option in views:
        if beside:
            raise ConfigError(
                f"{option} takes all trials of a study, got {beside} beside it; give one of the two"
            )
    return next(iter(views.values()), None)


def _relate(names: tuple[str, str], record: StudyRecord, folder: Path, uri: str | None) -> None:
    from thalweg.analysis.relation import relate
    from thalweg.console.analyses.relation_view import show_relation

    console = terminal()
    found = relate(record, names)
    show_relation(record.name, found, console)
    if uri is not None:
        from thalweg.analysis.relation_picture import store_relation  # matplotlib

        teller(console)(store_relation(found, record.name, folder, uri))


def _importance(record: StudyRecord, folder: Path, uri: str | None) -> None:
    from thalweg.analysis.importance.parameters import importance_of
    from thalweg.console.analyses.importance_view import show_importance

    console = terminal()
    found = importance_of(record)
    show_importance(record.name, found, console)
    if uri is not None:
        from thalweg.analysis.importance.importance_picture import store_importance  # matplotlib

        teller(console)(store_importance(found, record.name, folder, uri))


def show_own_front(record: StudyRecord, folder: Path, uri: str | None) -> None:
    """Shows the Pareto front of a study's own objectives, and draws it into MLflow if there is an address.

    Says why if there is none yet, or if MLflow does not take it: that ends no command.
    """
    try:
        _front([*record.also], record, folder, uri)
    except (StudyError, ConnectionFailed) as error:
        teller(terminal())(str(error))


def _front(names: list[str], record: StudyRecord, folder: Path, uri: str | None) -> None:
    from thalweg.analysis.pareto.front import front_of
    from thalweg.console.analyses.front_view import show_front

    console = terminal()
    found = front_of(record, names)
    show_front(found, record, console)
    if uri is not None:
        from thalweg.analysis.pareto.front_picture import store_front  # matplotlib

        teller(console)(store_front(found, record, folder, uri))
