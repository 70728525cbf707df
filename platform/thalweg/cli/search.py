"""The command that searches a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.options import (
    RUNS,
    AcceptCodeChange,
    Address,
    Data,
    DataSet,
    Gpus,
    Lanes,
    LearnFrom,
    MaxHours,
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
    tracked,
)
from thalweg.cli.results import show_lineage
from thalweg.cli.show import show_own_front
from thalweg.errors import ConnectionFailed
from thalweg.lanes import cluster
from thalweg.lanes.interruption import ending_raises, ending_waits
from thalweg.search.starting.early_start import connect_early, go_on, meanwhile
from thalweg.search.starting.run_options import Options, make_writable

if TYPE_CHECKING:
    from thalweg.search.space import Space as LoadedSpace
    from thalweg.search.starting.readiness import Preparation
    from thalweg.search.store.records import StudyRecord

Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for resources.")]
Check = Annotated[
    bool,
    typer.Option(help="Check the space before a new study, in at most about 20 s; see `thalweg check`."),
]
Pictures = Annotated[bool, typer.Option(help="Draw pictures of the best trials at the end.")]


def search(
    space: Space,
    study: StudyName = None,
    trials: Trials = None,
    max_hours: MaxHours = None,
    learn_from: LearnFrom = None,
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
    accept_code_change: AcceptCodeChange = False,
    wait: Wait = 30.0,
    plain: Plain = False,
    check: Check = True,
    pictures: Pictures = True,
) -> None:
    """Searches a space, shows it live, and ends with a leaderboard: `thalweg search quickstart`.

    The same command again continues a study that was stopped, `--dataset` and `--samples` included, for a study keeps
    both; `--trials` with a larger number extends one that is complete. The first Ctrl-C lets each running trial reach
    its next evaluation, the second stops at once. Next: `thalweg ui`, `thalweg best STUDY`.
    """
    console = terminal()
    settings: dict[str, Any] = {"num_trials": trials, "max_hours": max_hours, "num_lanes": lanes}
    settings |= {"num_workers": workers, "gpus_per_worker": gpus}
    settings |= {"learn_from": tuple(learn_from or ()) or None}
    chosen = _chosen(space, settings, dataset=dataset, samples=samples, root=data, tell=teller(console))
    over = None if storage else _finished(output, study or space, chosen, teller(console))
    options = Options(
        name=study or space,
        output=output,
        storage=storage,
        address=address,
        wait_s=wait,
        take_over=take_over,
        accept_code_change=accept_code_change,
    )
    if over is None:
        _begin(chosen, address)
    uri = tracked(tracking_uri)
    record, number = _searched(chosen, options, uri, data, over, plain=plain, check=check)
    flags = {"--dataset": dataset, "--samples": samples, "--data": data, "--tracking-uri": tracking_uri}
    draws = pictures and not number and over is None
    _show(space, chosen, options, record, flags, uri, stopped=bool(number), draws=draws)
    if draws:
        from thalweg.analysis.pictures import draw_new

        draw_new(record, options.directory, uri, teller(console), data)
    raise typer.Exit(128 + number if number else int(record.best() is None))


def _searched(
    chosen: LoadedSpace,
    options: Options,
    uri: str,
    data: Path | None,
    over: StudyRecord | None,
    *,
    plain: bool,
    check: bool,
) -> tuple[StudyRecord, int]:
    """Searches a space, unless all is done and delivered; returns the study, and the signal that stopped it or 0."""
    from thalweg.analysis.studies import earlier_trials
    from thalweg.tracking.spool import is_delivered

    if over is not None and is_delivered(options.directory, uri):
        return over, 0
    console = terminal()
    tell = teller(console)
    with ending_raises(), ExitStack() as closing:
        earlier, called_off = earlier_trials(options), Event()
        work = partial(_made_ready, chosen, options, data, tell, check and not earlier, called_off)
        with ending_waits(called_off), meanwhile(work, called_off) as ready:
            connection = None
            go_on(called_off)
            if not over and not earlier:  # a study that is continued may be refused
                connection = closing.enter_context(connect_early(options, tell))
            preparation = ready()

        # Another thread has imported all of it by now.
        from thalweg.console.live import make_view
        from thalweg.events import Notice
        from thalweg.search import run
        from thalweg.tracking.recorder import MLflowRecorder

        make_writable(options.directory)  # of a study that nothing refuses
        for sentence in preparation.told:
            tell(sentence)
        recorder = MLflowRecorder(uri, tell=lambda text: view.handle(Notice(text=text)))
        view = make_view(console, earlier, plain=plain)  # last: the search closes it
        record = run.search(preparation.prepared, options, [recorder, view], connection=connection)
    return record, view.standing.signal


def _made_ready(
    chosen: LoadedSpace,
    options: Options,
    data: Path | None,
    tell: Callable[[str], None],
    checks: bool,
    called_off: Event,
) -> Preparation:
    """Imports what a search needs, and prepares the study."""
    for name in ("console.live", "search.run", "search.starting.readiness", "tracking.recorder"):
        import_module(f"thalweg.{name}")
        go_on(called_off)
    from thalweg.search.starting.readiness import make_ready

    return make_ready(chosen, options, data, tell, checks=checks, called_off=called_off)


def _show(
    space: str,
    chosen: LoadedSpace,
    options: Options,
    record: StudyRecord,
    flags: Mapping[str, Any],
    uri: str,
    *,
    stopped: bool,
    draws: bool,
) -> None:
    """Shows the leaderboard of a study, its Pareto front if it has several objectives, and how to go on."""
    from thalweg.analysis import leaderboard, next_steps
    from thalweg.console import board

    console = terminal()
    board.show(leaderboard.of_study(record, options.directory), console)
    if record.also:
        show_own_front(record, options.directory, uri if draws else None)
    if record.is_population and record.best() is not None:
        try:
            show_lineage(record, options.directory, uri if draws else None)
        except ConnectionFailed as error:
            teller(console)(str(error))
    commands = next_steps.next_commands(
        space, options, chosen.study, flags, has_best=record.best() is not None, stopped=stopped
    )
    board.guide(next_steps.places(options, record, uri), commands, console)


def _chosen(space: str, settings: Mapping[str, Any], **overrides: Any) -> LoadedSpace:
    from thalweg.search.overrides import overridden
    from thalweg.search.space import load_space

    return overridden(load_space(space).with_settings(**settings), **overrides)


def _begin(space: LoadedSpace, address: str | None) -> None:
    """Answers mistakes of a space at once, and then begins what takes seconds: torch and Ray."""
    from thalweg.search.space import probe

    probe(space)
    if address is None:
        cluster.warm_up()


def _finished(output: Path, name: str, space: LoadedSpace, tell: Callable[[str], None]) -> StudyRecord | None:
    """Returns a study in which nothing is left to do, and says so; None if there is something."""
    from thalweg.analysis.studies import finished

    record = finished(output, name, space)
    if record is not None:
        count = space.study.num_trials
        tell(f"study {name} has all its {count} trials; --trials {2 * count} carries on\n")
    return record
