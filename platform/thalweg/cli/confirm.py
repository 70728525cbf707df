"""The command that trains the best configurations of a study again with fresh seeds, and says what holds."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from thalweg.cli.options import (
    RUNS,
    AcceptCodeChange,
    Address,
    Data,
    Lanes,
    Output,
    Plain,
    Storage,
    Tracking,
    teller,
    terminal,
    trial_numbers,
    typed_command,
)
from thalweg.errors import ConfigError
from thalweg.lanes import cluster
from thalweg.lanes.interruption import ending_at_once
from thalweg.search.starting.run_options import Options

if TYPE_CHECKING:
    from thalweg.analysis.verdict.confirmed import Confirmed
    from thalweg.analysis.verdict.reading_log import Reading
    from thalweg.search.confirmation.confirmation import Confirmation, Run
    from thalweg.search.store.records import StudyRecord

StudyToConfirm = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study; `thalweg studies` lists them.")
]
Numbers = Annotated[
    str | None, typer.Option("--trials", help="Trials that run instead, the champion first: `4 15 1`.")
]
By = Annotated[str | None, typer.Option(help="Run the best trial of each option of a parameter instead.")]
Seeds = Annotated[
    int | None, typer.Option(help="Seeds of each configuration at most, 3 or more. \\[default: 8]")
]
Matters = Annotated[
    float | None,
    typer.Option(
        help="Smallest difference of the objective that matters. \\[default: the spread over seeds]"
    ),
]
Name = Annotated[
    str | None, typer.Option("--as", help="Name of the confirmation. \\[default: STUDY.confirm]")
]
_DEFAULT_SEEDS = 8


def confirm(
    study: StudyToConfirm,
    trials: Numbers = None,
    by: By = None,
    seeds: Seeds = None,
    matters: Matters = None,
    name: Name = None,
    yes: Annotated[bool, typer.Option("--yes", help="Start without asking.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Also judge on the split test; every reading is logged.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the verdict as JSON, for programs; needs --yes.")
    ] = False,
    lanes: Lanes = None,
    output: Output = RUNS,
    data: Data = None,
    tracking_uri: Tracking = None,
    address: Address = None,
    storage: Storage = None,
    accept_code_change: AcceptCodeChange = False,
    plain: Plain = False,
) -> None:
    """Trains the best configurations of a study again with fresh seeds, and says which is better.

    Examples: `thalweg confirm quickstart`, `thalweg confirm rgb_lidar_fusion --by fusion --seeds 12`

    The champion, the next two and the baseline configuration run with the same new seeds, at full budget. It looks at
    3, 5 and 8 seeds; what is settled runs no more. It says beats, same, loses, or that it cannot tell; on equal
    configurations it names one in at most 5 % of studies. The same command goes on with one that was stopped, and with
    one that has lost runs with their machine, after which the exit code is 1.
    """
    from thalweg.analysis import studies

    record = studies.find(output, study, storage)
    asked = _Asked(trials=trials, by=by, seeds=seeds, matters=matters)
    console = terminal()
    tell = teller(console) if not as_json else lambda text: None
    with ending_at_once():
        from thalweg.search.confirmation.confirmation import name_of
        from thalweg.tracking.address import check_tracking, default_uri
    check_tracking(uri := tracking_uri or default_uri())
    options = Options(
        name=name or name_of(study),
        output=output,
        storage=storage,
        address=address,
        accept_code_change=accept_code_change,
    )
    plan = _plan(record, asked, options.directory, storage)
    number = _carried_out(plan, record, options, uri, data, lanes, yes, as_json, plain)
    found, at_test = _judged(plan, record, options, data, tell, test=test and not number)
    folder = _kept(found, at_test, record, options, uri, tell)
    _show(found, at_test, options, folder, _readings(record, output / study, data), as_json)
    raise typer.Exit(128 + number if number else int(bool(found.wanted)))


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the options ask for; None takes what the plan has, or the default."""

    trials: str | None
    by: str | None
    seeds: int | None
    matters: float | None

    @property
    def numbers(self) -> list[int]:
        return trial_numbers(self.trials)


def _plan(record: StudyRecord, asked: _Asked, directory: Path, storage: str | None) -> Confirmation:
    """Returns the plan of a confirmation that began, else a new one, which is not written yet."""
    from thalweg.analysis.verdict.looks import MAX_SEEDS, MIN_SEEDS
    from thalweg.search.confirmation import confirmation
    from thalweg.search.confirmation.contenders import contenders, num_stopped

    if record.definition.get("confirms"):
        raise ConfigError(
            f"a search is confirmed, got {record.name!r}, which confirms {record.definition['confirms']!r}; name that"
        )
    known = confirmation.read_plan(directory)
    _check_its_own(known, record, directory, storage)
    number = asked.seeds
    if number is None:
        number = len(known.seeds) if known else _DEFAULT_SEEDS
    if not MIN_SEEDS <= number <= MAX_SEEDS:
        raise ConfigError(
            f"a verdict needs at least {MIN_SEEDS} seeds, for fewer have no spread to judge by, and at most "
            f"{MAX_SEEDS}; got --seeds {number}"
        )
    matters = asked.matters
    if matters is None:
        matters = known.matters if known else record.definition["study"].get("matters")
    if matters is not None and not 0 < matters < math.inf:
        raise ConfigError(
            f"a difference that matters must be more than 0 and finite, got --matters {matters:g}"
        )
    if known is None or asked.trials or asked.by:
        chosen = contenders(record, numbers=asked.numbers, by=asked.by)
    else:
        chosen = known.contenders
    seeds = known.seeds if known else ()
    if number != len(seeds):
        label = "" if directory.name == confirmation.name_of(record.name) else directory.name
        seeds = confirmation.fresh_seeds(record, number, label or "confirm")
    plan = confirmation.Confirmation(
        study=record.name,
        contenders=chosen,
        seeds=seeds,
        matters=matters,
        stopped=known.stopped if known else num_stopped(record),
    )
    if known is not None and not _is_same(plan, known):
        raise ConfigError(
            f"a confirmation keeps its configurations, seeds and what matters, got others than those in {directory}: "
            "to choose them after a look would spoil its error; give the command without --trials, --by, --seeds and "
            "--matters, or with --as NAME for another one, whose seeds are fresh"
        )
    return known or plan


def _check_its_own(
    known: Confirmation | None, record: StudyRecord, directory: Path, storage: str | None
) -> None:
    """Refuses the name of a search, and a confirmation of trials that the study no longer has.

    Raises:
        ConfigError: It is one of these.
    """
    from thalweg.analysis.verdict.judged_confirmation import own_record

    if known is None and (own := own_record(directory, storage)) and not own.definition.get("confirms"):
        raise ConfigError(
            f"a confirmation must have a name of its own, got {own.name!r}, a search; try another --as"
        )
    if known is not None and not known.is_of(record):
        raise ConfigError(
            f"a confirmation is of the trials that it was planned for, got {directory}, which names others than "
            f"{record.name!r} has: it was searched anew, or that belongs to another study; give the command with --as "
            "NAME for a new one, or move that folder away"
        )


def _is_same(one: Confirmation, other: Confirmation) -> bool:
    """Returns whether two plans run the same; the search may have gone on since the first was made."""
    names = [[each.name for each in plan.contenders] for plan in (one, other)]
    return names[0] == names[1] and replace(one, contenders=()) == replace(other, contenders=())


def _carried_out(
    plan: Confirmation,
    record: StudyRecord,
    options: Options,
    uri: str,
    data: Path | None,
    lanes: int | None,
    yes: bool,
    as_json: bool,
    plain: bool,
) -> int:
    """Trains what the verdict needs; returns the number of the signal that stopped it, or 0."""
    from thalweg.analysis.verdict.confirmed import judge
    from thalweg.analysis.verdict.cost_ahead import cost_ahead
    from thalweg.analysis.verdict.judged_confirmation import best_baseline, own_record
    from thalweg.search.confirmation import confirmation

    own = own_record(options.directory, options.storage)
    searched = best_baseline(record, options.directory.parent / record.name)
    found = best_baseline(record, options.directory)
    first = judge(plan, own, record, found)
    if not first.wanted:
        return 0
    done = [run for run, _ in plan.runs(own)] if own is not None else []
    lost = [run for run, _ in plan.lost(own)] if own is not None else []
    ahead = cost_ahead(plan, record, done, lanes, has_constants=(found or searched) is not None)
    _ask(plan, ahead, yes=yes, as_json=as_json)
    space = confirmation.confirmed_space(plan, record, [*done, *lost, *first.wanted], num_lanes=lanes)
    confirmation.adopt_starting_points(options.directory.parent / record.name, options.directory)
    return _trained(space, plan, record, lost, options, uri, data, plain=plain, quiet=as_json)


def _trained(
    space: Any,
    plan: Confirmation,
    record: StudyRecord,
    lost: Sequence[Run],
    options: Options,
    uri: str,
    data: Path | None,
    *,
    plain: bool,
    quiet: bool,
) -> int:
    """Trains the runs of a space and those that they make necessary; what is lost on the way is not tried again."""
    if options.address is None:
        cluster.warm_up()
    with ending_at_once():
        from thalweg.analysis.studies import earlier_trials
        from thalweg.analysis.verdict.confirmed import judge
        from thalweg.analysis.verdict.judged_confirmation import (
            best_baseline,
            check_measured_alike,
            code_changed,
        )
        from thalweg.console.live import make_view
        from thalweg.events import Notice
        from thalweg.search import run
        from thalweg.search.confirmation.confirmation import write_plan
        from thalweg.search.preflight import prepare
        from thalweg.tracking.recorder import MLflowRecorder

    console = Console(stderr=True, highlight=False) if quiet else terminal()
    prepared = prepare(space, data, teller(console), options.starting_points)
    check_measured_alike(record, prepared.tags["protocol_hash"], prepared.protocol)
    for sentence in code_changed(record, prepared.code.hashes):
        teller(console)(sentence)
    write_plan(plan, options.directory)  # before any seed is seen

    def extend(own: StudyRecord) -> Any:
        wanted = judge(plan, own, record, best_baseline(record, options.directory)).wanted
        more = Counter(run for run, _ in plan.lost(own)) - Counter(lost)
        return plan.params([run for run in wanted if not more[run]])

    recorder = MLflowRecorder(uri, tell=lambda text: view.handle(Notice(text=text)))
    view = make_view(console, earlier_trials(options), plain=plain or quiet)
    run.search(prepared, options, [recorder, view], extend)
    return view.standing.signal


def _ask(plan: Confirmation, ahead: Any, *, yes: bool, as_json: bool) -> None:
    """Shows what a confirmation costs, and asks whether to start.

    Raises:
        ConfigError: There is nobody to ask.
        Exit: The answer is no.
    """
    from thalweg.console.verdicts.confirm_view import show_plan

    if not as_json:
        show_plan(plan, ahead, terminal())
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise ConfigError("a confirmation asks before it trains, got no terminal to ask in; add --yes")
    if not typer.confirm("start?", default=True):
        raise typer.Exit(0)


def _judged(
    plan: Confirmation,
    record: StudyRecord,
    options: Options,
    data: Path | None,
    tell: Callable[[str], None],
    *,
    test: bool,
) -> tuple[Confirmed, Confirmed | None]:
    """Returns the verdict on validation, over seeds and over units, and that on the split ``test``."""
    from thalweg.analysis.declared import family_of
    from thalweg.analysis.verdict.judged_confirmation import judged
    from thalweg.analysis.verdict.sealed_split import on_test
    from thalweg.datasets.catalogue import data_root

    found, own = judged(plan, record, options.directory, options.storage)
    if own is None or not test:
        return found, None
    if found.wanted:
        tell(
            "the split test is not read before all runs are there: each reading counts; give the command again"
        )
        return found, None
    folders = (options.directory, options.directory.parent / record.name)
    root = data_root(family_of(record), data)
    return found, on_test(found, own, record, folders, root, typed_command(), tell)


def _kept(
    found: Confirmed,
    at_test: Confirmed | None,
    record: StudyRecord,
    options: Options,
    uri: str,
    tell: Callable[[str], None],
) -> Path:
    """Writes the verdict into the confirmation's folder and into MLflow; returns the folder of its files."""
    from thalweg.analysis.declared import comparable
    from thalweg.analysis.verdict.verdict_files import rows, write_files
    from thalweg.analysis.verdict.verdict_picture import draw_verdict
    from thalweg.analysis.verdict.verdict_record import record_verdict

    table = rows(found, record, comparable(record))
    folder = write_files(found, table, options.directory, at_test)
    draw_verdict(found, options.directory)
    tell(record_verdict(found, options.name, options.directory, folder, uri, at_test))
    return folder


def _readings(record: StudyRecord, search: Path, data: Path | None) -> list[Reading]:
    from thalweg.analysis.declared import family_of
    from thalweg.analysis.verdict.reading_log import readings
    from thalweg.datasets.catalogue import data_root

    return readings(record, search.absolute(), data_root(family_of(record), data))


def _show(
    found: Confirmed,
    at_test: Confirmed | None,
    options: Options,
    folder: Path,
    read: Sequence[Reading],
    as_json: bool,
) -> None:
    from thalweg.analysis.verdict.reading_log import told
    from thalweg.analysis.verdict.verdict_files import as_json as in_json
    from thalweg.console.verdicts.confirm_view import show_confirmed
    from thalweg.wording import as_seen

    if as_json:
        parts = {"validation": in_json(found), "test": None if at_test is None else in_json(at_test)}
        print(json.dumps({**parts, "test_readings": [each.__dict__ for each in read]}, indent=1))
        return
    console = terminal()
    show_confirmed(found, console)
    if at_test is not None:
        show_confirmed(at_test, console, split="test")
    if read:
        teller(console)(told(read, found.plan.study))
    teller(console)(
        f"\nverdict, scores and picture in {as_seen(folder)}; thalweg show {options.name} lists the runs"
    )
