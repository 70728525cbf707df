"""Prints a leaderboard: the best trials beside the baselines, how the others ended, and what to do next."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.analysis.groups import COSTS
from thalweg.analysis.leaderboard import Leaderboard, failures
from thalweg.console import group_table
from thalweg.console.formatting import clock, cost, number, score
from thalweg.console.notices import STYLES
from thalweg.console.tables import (
    GAP,
    HEAD,
    LEGEND,
    baselines_line,
    baselines_width,
    best_cell,
    marked_cell,
    plain_table,
)
from thalweg.search.overrides import options_of
from thalweg.search.store.multi_objective.constraints import in_words
from thalweg.search.store.records import TrialRecord
from thalweg.wording import counted, some

MAX_TRIALS = 8


def show(board: Leaderboard, console: Console, by: Sequence[str] = ()) -> None:
    """Prints a leaderboard; says so if no trial has ended yet.

    Args:
        board: The leaderboard.
        console: Where to print.
        by: Parameters or knobs by which trials are grouped; empty shows single trials.

    Raises:
        StudyError: Trials cannot be grouped by these.
    """
    title = Text(f"{board.record.name}  ", style="bold")
    asked = in_words(board.record.objectives, board.record.constraints)
    title.append(f"{asked}  {board.record.definition['space']}", "not bold")
    if options := options_of(board.record.overrides):
        title.append(f"  {options}", "not bold")
    console.print("", title, "", sep="\n")
    if by:
        console.print(group_table.render(board.record, by, board.other_metrics(), console.width))
        console.print(
            "", Text(group_table.footnote(board.record, by), style="dim"), *_baselines(board), sep="\n"
        )
    elif board.ranked() or board.ended():
        console.print(render(board, console.width))
    else:
        console.print("no trial has ended yet", *_interrupted(board), sep="\n")


def guide(places: Mapping[str, str], commands: Mapping[str, str], console: Console) -> None:
    """Prints places and next commands, each on one line that can be copied.

    Args:
        places: Where things are, by what they are: ``{"study folder": "thalweg_runs/quickstart"}``.
        commands: Commands, by what they do.
        console: Where to print.
    """
    for table, style in ((places, ""), (commands, "bold cyan")):
        console.print()
        width = max(map(len, table), default=0) + 2
        for name, text in table.items():
            console.print(Text.assemble((name.ljust(width), "dim"), (text, style)), soft_wrap=True)


def render(board: Leaderboard, width: int) -> RenderableType:
    """Renders a leaderboard: one column per trial, because parameters are many, and one for the best baselines."""
    trials = board.ranked()
    shown = [board.objective, *board.other_metrics()]
    names = [*shown, "samples", *_params(trials)]
    taken = baselines_width(board.comparison, shown)
    room = width - max(map(len, names), default=0) - GAP - (taken + GAP if taken else 0)
    ends = itertools.accumulate(_width(board, trial, shown) for trial in trials[:MAX_TRIALS])
    trials = trials[: max(1, sum(end <= room for end in ends))]
    table = plain_table()
    table.add_column("", no_wrap=True)
    for place, trial in enumerate(trials, 1):
        mark = "  " if taken else ""  # heads stand above the numbers, not above the marks
        style = "bold" if place == 1 else ""
        table.add_column(f"trial {trial.number}{mark}", justify="right", style=style, no_wrap=True)
    if taken:
        table.add_column(HEAD, no_wrap=True)
    _fill_metrics(table, board, trials, shown)
    _fill_others(table, board, trials)
    legend = [Text(LEGEND, style="dim")] if taken else []
    return Group(table, *_left_out(board, trials), *legend, *_baselines(board), *_endings(board))


def _left_out(board: Leaderboard, shown: Sequence[TrialRecord]) -> list[Text]:
    """Says how many complete trials have no column, if any."""
    total, here = (sum(trial.status == "complete" for trial in each) for each in (board.ranked(), shown))
    if here == total:
        return []
    wider = "" if len(shown) == MAX_TRIALS else "a wider terminal or "
    return [
        Text(
            f"the best {here} of {counted(total, 'complete trial')}; {wider}`thalweg ui` shows more",
            style="dim",
        )
    ]


def _width(board: Leaderboard, trial: TrialRecord, shown: Sequence[str]) -> int:
    """Returns the characters of a trial's column with its padding."""
    blank = 2 if board.baselines else 0
    scores = [score(trial.metrics.get(name)) for name in shown] + [score(trial.value)]
    others = [number(value) for value in trial.params.values()]
    costs = [cost(name, trial.metrics.get(name)) for name in COSTS]
    plain = [trial.status, number(trial.samples), clock(trial.seconds), f"trial {trial.number}"]
    return max(map(len, [*scores, *others, *costs, *plain])) + blank + GAP


def _fill_metrics(
    table: Table, board: Leaderboard, trials: Sequence[TrialRecord], shown: Sequence[str]
) -> None:
    for name in shown:
        values = [trial.value if name == board.objective else trial.metrics.get(name) for trial in trials]
        cells = [marked_cell(board.comparison, name, value) for value in values]
        head = Text(name, style="bold" if name == board.objective else "")
        table.add_row(head, *cells, best_cell(board.comparison, name))
    table.add_section()
    table.add_row("")


def _fill_others(table: Table, board: Leaderboard, trials: Sequence[TrialRecord]) -> None:
    """Adds the costs and the parameters of trials below their metrics."""
    blank = "  " if board.baselines else ""
    if any(trial.status != "complete" for trial in trials):
        table.add_row(
            "ended as", *(Text(trial.status + blank, style=STYLES[trial.status]) for trial in trials)
        )
    if board.breaking():
        broken = [board.record.broken(trial) for trial in trials]
        words = (Text(("broken" if each else "kept") + blank, "yellow" if each else "") for each in broken)
        table.add_row("constraints", *words)
    sources = [board.promoted_from(trial) for trial in trials]
    if any(source is not None for source in sources):
        told = ("-" if source is None else f"trial {source}" for source in sources)
        table.add_row("promoted from", *(text + blank for text in told))
    if any(trial.parent is not None for trial in trials):
        heirs = (
            "-" if trial.parent is None else f"trial {trial.parent} at {number(trial.parent_samples)}"
            for trial in trials
        )
        table.add_row("continues", *(text + blank for text in heirs))
    table.add_row("samples", *(number(trial.samples) + blank for trial in trials))
    table.add_row("time", *(clock(trial.seconds) + blank for trial in trials))
    for name, head in COSTS.items():
        if any(name in trial.metrics for trial in trials):
            table.add_row(head, *(cost(name, trial.metrics.get(name)) + blank for trial in trials))
    table.add_row("")
    for name in _params(trials):
        row = [number(trial.params[name]) if name in trial.params else "-" for trial in trials]
        table.add_row(name, *(cell + blank for cell in row), style="cyan")


def _baselines(board: Leaderboard) -> list[RenderableType]:
    """Lists all baselines by the objective, and those that no trial beats."""
    line = baselines_line(board.comparison)
    lines: list[RenderableType] = [] if line is None else [line]
    unbeaten = board.unbeaten()
    return lines + ([Text(f"no trial beats {', '.join(unbeaten)}", style="yellow")] if unbeaten else [])


def _endings(board: Leaderboard) -> list[RenderableType]:
    ended, saved = board.ended(), board.saved()
    counts = Counter(trial.status for trial in ended)
    text = Text("\n")
    text.append(counted(len(ended), "trial") + ": ", style="bold")
    for status in ("complete", "pruned", "failed"):
        text.append(f"{counts[status]} {status}", style=STYLES[status] if counts[status] else "dim")
        text.append(", " if status != "failed" else failure_words(ended))
    if saved is not None:
        text.append(f"; early stopping saved {saved:.0%} of samples")
    why = [Text(f"last session {board.record.ended}")] if ":" in board.record.ended else []
    failed = (Text(f"  {line}", style="red") for line in reasons(ended))
    return [text, *_broken(board), *_safety(board), *failed, *_interrupted(board), *why]


def _broken(board: Leaderboard) -> list[Text]:
    """Counts the complete trials that break a constraint, if any."""
    breaking = board.breaking()
    if not breaking:
        return []
    total = len(board.record.ranking())
    told = f"{len(breaking)} of {counted(total, 'complete trial')} break {board.record.constraints}"
    alone = len(breaking) == total
    return [
        Text(told + ("" if alone else ", and rank behind the others"), style="red" if alone else "yellow")
    ]


def _promotions(board: Leaderboard) -> list[Text]:
    costs = board.switch_costs()
    if not costs:
        return []
    mean = statistics.fmean(costs)
    return [Text(f"{counted(len(costs), 'promotion')}; to take a trial up cost {mean:.2g} s on average")]


def _population(board: Leaderboard) -> list[Text]:
    replaced = board.num_replaced()
    if not replaced:
        return []
    told = f"{counted(replaced, 'more trial')} ended at a mark, and another one was continued in its place; "
    return [Text(f"{told}parameters are those of the last segment: thalweg lineage {board.record.name}")]


def _safety(board: Leaderboard) -> list[Text]:
    """Says how well the rungs of early stopping tell the end, and what promotions cost; warns of one that misleads."""
    found, promoted = board.rung_correlations(), [*_promotions(board), *_population(board)]
    if not found:
        return promoted
    told = ", ".join(f"{value:.2f} at {counted(rung, 'sample')}" for rung, value in found.items())
    lines = [Text(f"rank correlation of rungs with the end: {told}"), *promoted]
    if board.is_misled():
        lines.append(
            Text('  early stopping may have ended good trials; try scheduler="none"', style="yellow")
        )
    return lines


def _interrupted(board: Leaderboard) -> list[Text]:
    """Counts and names the trials that are to go on, and says how."""
    trials = board.interrupted()
    if not trials:
        return []
    named = [f"{trial.number} after {counted(trial.samples, 'sample')}" for trial in trials[:MAX_TRIALS]]
    more = ", ..." if len(trials) > MAX_TRIALS else ""
    return [
        Text(
            f"{counted(len(trials), 'trial')} interrupted ({', '.join(named)}{more}): the same `thalweg search` goes "
            f"on with {'it' if len(trials) == 1 else 'them'}",
            style="yellow",
        )
    ]


def failure_words(ended: Sequence[TrialRecord]) -> str:
    """Counts why trials failed, the most frequent word first: `` (2 diverged, 1 data)``; empty if none says."""
    words = Counter(trial.ended_as for trial in ended if trial.status == "failed" and trial.ended_as)
    told = ", ".join(f"{count} {word}" for word, count in words.most_common())
    return f" ({told})" if told else ""


def reasons(trials: Sequence[TrialRecord]) -> list[str]:
    """Writes a line for each reason why trials failed, the most frequent first."""
    return [
        f"{counted(len(group), 'trial')} failed ({some((f'{trial.number}' for trial in group), MAX_TRIALS)})"
        f"{_as(group[0].ended_as)}: {group[0].reason}"
        for group in failures(trials)
    ]


def _as(word: str | None) -> str:
    return f" as {word}" if word else ""


def _params(trials: Sequence[TrialRecord]) -> list[str]:
    """Returns the names of all parameters of trials, in the order in which spaces asked for them."""
    return list(dict.fromkeys(name for trial in trials for name in trial.params))
