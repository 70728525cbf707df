"""Trials side by side on the terminal: what differs, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.side_by_side.earlier_verdicts import EarlierVerdict
from thalweg.analysis.side_by_side.knob_differences import ABSENT
from thalweg.analysis.side_by_side.trial_rows import CostRow, Curves, Judgement, MetricRow
from thalweg.analysis.side_by_side.trials_compared import Measured, TrialsCompared
from thalweg.console.comparisons.cells import NO_VALUE, fitted, settings_table
from thalweg.console.formatting import clock, cost, score, sparkline
from thalweg.search.store.records import TrialRecord
from thalweg.wording import counted, some

if TYPE_CHECKING:  # torch takes seconds
    from thalweg.analysis.verdict.unit_scope import UnitFinding

MAX_METRICS = 10
MAX_POINTS = 8
_STYLES: dict[Judgement, str] = {"better": "green", "worse": "yellow", "equal": "dim", "": ""}


def show_trials(compared: TrialsCompared, console: Console, *, with_units: bool = False) -> None:
    """Prints what differs between trials, and what can be said of it.

    Args:
        compared: The trials.
        console: Where to print.
        with_units: Whether `show_units` follows, which is offered otherwise.
    """
    study = compared.sides[0].study
    labels = [side.label for side in compared.sides]
    title = Text(" and ".join(each.name for each in compared.studies) + "  ", style="bold")
    title.append(f"{study.definition['metric']} ({study.mode})" if compared.measured else "", "not bold")
    console.print("", title, "", sep="\n")
    if compared.knobs:
        console.print(settings_table("what differs", labels, compared.knobs, console.width))
        if any(value is ABSENT for row in compared.knobs for value in row.values):
            console.print(Text(f"{NO_VALUE} no such knob there, or one without effect", style="dim"))
    else:
        console.print("the configurations are the same")
    console.print()
    if compared.measured is not None:
        _show_numbers(compared.measured, labels, str(study.definition["metric"]), console)
    for sentence, style in sentences(compared):
        console.print(Text(sentence, style=style), soft_wrap=True)
    if compared.keep_units and not with_units:
        offer = "--units compares them over places, years or scenes, if the metric keeps sums of these"
        console.print(Text(offer, style="dim"), soft_wrap=True)


def sentences(compared: TrialsCompared) -> Iterator[tuple[str, str]]:
    """Yields what a comparison of trials is worth, as sentences with their styles."""
    if compared.measured is None:
        yield "settings alone: numbers are not compared, for they may have been measured differently", "dim"
        return
    for side in compared.sides:
        if side.trial.status != "complete":
            yield f"{side.label} {_ended(side.trial)}", "yellow"
    if len(compared.samples) > 1:
        told = " and ".join(f"{samples:,}" for samples in compared.samples)
        yield f"trained on unequal numbers of samples, {told}: the longer one had the advantage", "yellow"
    if compared.code_changed:
        yield "the code of the family or the space changed between them", "yellow"
    yield from _worth(compared)


def _ended(trial: TrialRecord) -> str:
    """Says how a trial ended that did not complete."""
    if trial.status == "pruned":
        return f"was stopped early, after {counted(trial.samples, 'sample')}: not found worse, only stopped"
    if trial.status == "failed":
        return f"failed{f' as {trial.ended_as}' if trial.ended_as else ''}: {trial.reason or 'no reason is known'}"
    return f"is {trial.status}: its numbers are not those of its end"


def _worth(compared: TrialsCompared) -> Iterator[tuple[str, str]]:
    """Says what a difference between single trials is worth, and what settles it."""
    for verdict in compared.verdicts:
        yield verdict_sentence(verdict), "bold"
    single = "one seed each: a difference between single trials is no finding"
    if not compared.knobs:
        yield "the same configuration and seed: what differs is budget, code or machine", "bold"
    elif compared.only_seeds_differ:
        yield "the same configuration but for the seed: the difference is what seeds make", "bold"
    elif compared.is_settled:
        yield f"{single}; the numbers above are those of the search", "dim"
    elif compared.sides[0].study.definition.get("confirms") and compared.settled_by:
        yield "runs of a confirmation, whose verdict is over the seeds of all of them:", "bold"
        yield f"  {compared.settled_by}", "bold cyan"
    elif compared.settled_by:
        complete = all(side.trial.status == "complete" for side in compared.sides)
        yield f"{single}; this settles it{'' if complete else ' for those that are complete'}:", "bold"
        yield f"  {compared.settled_by}", "bold cyan"
    elif len(compared.studies) > 1:
        way = "search one space that can propose both, then confirm that study"
        yield f"{single}, and `thalweg confirm` compares trials of one study: {way}", "bold"
    else:
        yield f"{single}, and only two or more complete trials of a search can be confirmed", "bold"


def show_units(found: Mapping[str, Sequence[UnitFinding]], first: str, console: Console) -> None:
    """Prints how the first trial does beside the others over places, years or scenes."""
    lines = []
    for label, units in found.items():
        for each in units:
            known = each.low is not None and each.high is not None
            interval = f"[{signed(each.low or 0.0)}, {signed(each.high or 0.0)}]" if known else ""
            better = NO_VALUE if each.difference is None else signed(each.difference)
            over = counted(each.num_blocks, each.unit)
            lines.append([label, over, each.word, better, interval])
    heads = ["over", "verdict", "better by", "interval"]
    table = fitted([f"{first} against"], heads, lines, console.width)
    note = "in pairs, for these trained models alone: another seed may turn it"
    console.print("", table, Text(note, style="dim"), sep="\n")


def verdict_sentence(verdict: EarlierVerdict) -> str:
    """Returns what a confirmation found, as a sentence."""
    said = {
        "beats": f"{verdict.champion} beats {verdict.rival}",
        "beats, size open": f"{verdict.champion} beats {verdict.rival}, by how much is open",
        "same": f"{verdict.champion} is the same as {verdict.rival}",
        "loses": f"{verdict.champion} loses to {verdict.rival}",
    }
    text = said.get(verdict.word, f"{verdict.champion} against {verdict.rival}: {verdict.word}")
    parts = [f"{verdict.confirmation}: {text}, over {counted(verdict.seeds, 'seed')}"]
    if verdict.difference is not None and verdict.low is not None and verdict.high is not None:
        sides = f"[{signed(verdict.low)}, {signed(verdict.high)}]"
        parts[0] += f", {verdict.metric} better by {signed(verdict.difference)} {sides}"
    parts += [f"over {unit}s {word} ({counted(blocks, unit)})" for unit, word, blocks in verdict.over_units]
    return "; ".join(parts) + (" (not finished)" if verdict.still_open else "")


def signed(value: float) -> str:
    """Writes a difference with its sign."""
    return f"+{score(value)}" if value > 0 else score(value)


def _show_numbers(measured: Measured, labels: Sequence[str], metric: str, console: Console) -> None:
    shown = measured.metrics[:MAX_METRICS]
    console.print(_metrics(shown, labels, console.width))
    if left := measured.metrics[MAX_METRICS:]:
        names = some((row.name for row in left), 3)
        console.print(Text(f"{counted(len(left), 'more metric')} with --json: {names}", style="dim"))
    console.print("", _costs(measured.costs, labels, console.width), "", sep="\n")
    if len(measured.curves.samples) > 1:
        console.print(_curves(measured.curves, labels, metric, console), "", sep="\n")


def _metrics(rows: Sequence[MetricRow], labels: Sequence[str], width: int) -> RenderableType:
    return fitted(["metrics", "unit"], labels, list(map(_metric_cells, rows)), width)


def _metric_cells(row: MetricRow) -> list[str | Text]:
    found: list[str | Text] = [row.name, row.unit, score(row.values[0])]
    beside = zip(row.values[1:], row.differences[1:], row.judgements[1:], strict=True)
    for value, difference, judgement in beside:
        told = f"  {signed(difference)}" if difference else ""
        found.append(Text.assemble(score(value), told, "  ", (judgement, _STYLES[judgement])))
    return found


def _costs(rows: Sequence[CostRow], labels: Sequence[str], width: int) -> RenderableType:
    lines = []
    for row in rows:
        cells = [row.head, _cost(row.name, row.values[0])]
        for value, ratio in zip(row.values[1:], row.ratios[1:], strict=True):
            times = f"  x {ratio:.2g}" if ratio is not None and ratio != 1 else ""
            cells.append(f"{_cost(row.name, value)}{times}")
        lines.append(cells)
    return fitted(["cost"], labels, lines, width)


def _cost(name: str, value: float | None) -> str:
    if value is None:
        return NO_VALUE
    return clock(value) if name == "seconds" else cost(name, value)


def _curves(curves: Curves, labels: Sequence[str], metric: str, console: Console) -> RenderableType:
    """Renders the objective at some evaluations, and bars of all of them on one scale."""
    lines: list[list[str | Text]] = []
    for place in _spaced(len(curves.samples)):
        cells = (NO_VALUE if each[place] is None else score(each[place]) for each in curves.values)
        lines.append([f"{curves.samples[place]:,}", *cells])
    known = [[value for value in each if value is not None] for each in curves.values]
    joined = [value for each in known for value in each]
    bars = sparkline(joined, len(joined), ascii_only=not console.encoding.startswith("utf"))
    if len(bars) == len(joined):  # shorter if some are not finite
        ends = [sum(map(len, known[: place + 1])) for place in range(len(known))]
        parts = [bars[end - len(each) : end] for end, each in zip(ends, known, strict=True)]
        lines.append(["", *(Text(part[-MAX_POINTS * 2 :], style="green") for part in parts)])
    return fitted([f"{metric} at samples"], labels, lines, console.width)


def _spaced(count: int) -> list[int]:
    """Returns the places of at most `MAX_POINTS` evaluations, evenly spaced, the last one among them."""
    if count <= MAX_POINTS:
        return list(range(count))
    return sorted({round((place + 1) * count / MAX_POINTS) - 1 for place in range(MAX_POINTS)})
