"""The command that searches a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.options import (
    RUNS,
    Address,
    Data,
    DataSet,
    Gpus,
    Lanes,
    Output,
    Plain,
    Samples,
    Space,
    Storage,
    StudyName,
    TakeOver,
    Tracking,
    Trials,
    Workers,
    teller,
    terminal,
)
from thalweg.events import Notice
from thalweg.lanes.interruption import ending_at_once

if TYPE_CHECKING:
    from thalweg.search.space import Space as LoadedSpace


def search(
    space: Space,
    study: StudyName = None,
    trials: Trials = None,
    dataset: DataSet = None,
    samples: Samples = None,
    lanes: Lanes = None,
    workers: Workers = None,
    gpus: Gpus = None,
    output: Output = RUNS,
    data: Data = None,
    tracking_uri: Tracking = None,
    address: Address = None,
    storage: Storage = None,
    take_over: TakeOver = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for resources.")] = 30.0,
    plain: Plain = False,
    pictures: Annotated[bool, typer.Option(help="Draw pictures of the best trials at the end.")] = True,
) -> None:
    """Searches a space, shows it live, and ends with a leaderboard: `thalweg search quickstart`.

    The same command again continues a study that was stopped, `--dataset` and `--samples` included, for a study keeps
    both; `--trials` with a larger number extends one that is complete. The first Ctrl-C lets each running trial reach
    its next evaluation, the second stops at once.

    Next: `thalweg ui`, `thalweg best STUDY`.
    """
    console = terminal()
    settings = {"num_trials": trials, "num_lanes": lanes, "num_workers": workers, "gpus_per_worker": gpus}
    chosen = _chosen(space, settings, dataset=dataset, samples=samples, root=data, tell=teller(console))
    # After the space, whose mistakes are answered at once: torch, Ray and MLflow take seconds.
    with ending_at_once():
        from thalweg.analysis import leaderboard, next_steps, studies
        from thalweg.analysis.pictures import draw_new
        from thalweg.console import board
        from thalweg.console.live import make_view
        from thalweg.search import run
        from thalweg.search.preflight import prepare, refusals
        from thalweg.tracking.address import check_tracking, default_uri
        from thalweg.tracking.recorder import MLflowRecorder

    check_tracking(uri := tracking_uri or default_uri())
    options = run.Options(
        name=study or space, output=output, storage=storage, address=address, wait_s=wait, take_over=take_over
    )
    prepared = prepare(chosen, data, teller(console), options.starting_points)
    for sentence in refusals(chosen):
        teller(console)(sentence)
    recorder = MLflowRecorder(uri, tell=lambda text: view.handle(Notice(text=text)))
    view = make_view(console, studies.earlier_trials(options), plain=plain)  # last: the search closes it
    record = run.search(prepared, options, [recorder, view])
    board.show(leaderboard.of_study(record, options.directory), console)
    flags = {"--dataset": dataset, "--samples": samples, "--data": data, "--tracking-uri": tracking_uri}
    number = view.standing.signal
    ended = {"has_best": record.best() is not None, "stopped": bool(number)}
    commands = next_steps.next_commands(space, options, chosen.study, flags, **ended)
    board.guide(next_steps.places(options, record, uri), commands, console)
    if pictures and not number:
        draw_new(record, options.directory, uri, teller(console), data)
    raise typer.Exit(128 + number if number else int(record.best() is None))


def _chosen(space: str, settings: Mapping[str, Any], **overrides: Any) -> LoadedSpace:
    from thalweg.search.overrides import overridden
    from thalweg.search.space import load_space

    return overridden(load_space(space).with_settings(**settings), **overrides)
