"""A confirmation on the terminal: what it will cost, who ran, the verdict on each rival, and what to use."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.verdict.confirmed import Confirmed, Finding, Repeated
from thalweg.analysis.verdict.cost_ahead import CostAhead
from thalweg.analysis.verdict.looks import spending
from thalweg.console.formatting import clock, score
from thalweg.console.tables import plain_table
from thalweg.search.confirmation.confirmation import Confirmation
from thalweg.wording import counted

_STYLES = {"beats": "green", "same": "cyan", "cannot tell": "yellow", "loses": "red", "unstable": "red"}


def show_plan(plan: Confirmation, ahead: CostAhead, console: Console) -> None:
    """Prints who will run, what it costs, and what it can show."""
    console.print("", Text(f"{plan.study}  confirmed with fresh seeds", style="bold"), "", sep="\n")
    table = plain_table()
    table.add_column("configuration", no_wrap=True)
    table.add_column("")
    table.add_column("in the search", no_wrap=True)
    for one in plan.contenders:
        value = "not trained to its end" if one.value is None else score(one.value)
        table.add_row(one.name, Text(role(one.role, one.label), style="dim"), value)
    console.print(table, "", sep="\n")
    for sentence in plan_sentences(plan, ahead):
        console.print(Text(sentence), soft_wrap=True)


def plan_sentences(plan: Confirmation, ahead: CostAhead) -> list[str]:
    """Returns what a confirmation costs and what it can show."""
    span = _between(ahead.least_s, ahead.most_s)
    done = f", {ahead.num_done} of the runs are done" if ahead.num_done else ""
    lanes = f" on {counted(ahead.num_lanes, 'lane')}" if ahead.num_lanes > 1 else ""
    found = [
        f"{counted(ahead.num_configurations, 'configuration')} x at most {counted(ahead.num_seeds, 'seed')}, "
        f"{span}{lanes}{done}; will see differences of about {ahead.visible:.1f} spreads over seeds"
    ]
    if plan.stopped:
        trials = counted(plan.stopped, "trial")
        verb = "was" if plan.stopped == 1 else "were"
        found.append(
            f"{trials} of the search {verb} stopped early and take no part: not found worse, only stopped"
        )
    return found


def show_confirmed(confirmed: Confirmed, console: Console, split: str = "validation") -> None:
    """Prints the runs of each configuration, the verdict on each rival, and the recommendation."""
    heading = f"{confirmed.plan.study}  {confirmed.metric} ({confirmed.mode}) over fresh seeds, {split}"
    console.print("", Text(heading, style="bold"), "", sep="\n")
    console.print(_runs(confirmed), "", sep="\n")
    if any(one.seeds for one in confirmed.findings):
        console.print(_verdicts(confirmed), "", sep="\n")
        for sentence in sentences(confirmed):
            console.print(Text(sentence), soft_wrap=True)
    for text in lost_runs(confirmed) if split == "validation" else ():
        console.print(Text(text, style="yellow"), soft_wrap=True)
    told = confirmed.recommendation
    text = f"use {told.name}: {told.reason}" if told.name else f"nothing to recommend: {told.reason}"
    console.print(Text(text, style="bold"), soft_wrap=True)
    for sentence in footnotes(confirmed):
        console.print(Text(sentence, style="dim"), soft_wrap=True)


def sentences(confirmed: Confirmed) -> list[str]:
    """Returns one sentence on each rival, over seeds and over places and years."""
    return [sentence(confirmed, one) for one in confirmed.findings if one.seeds]


def sentence(confirmed: Confirmed, one: Finding) -> str:
    """Returns the verdict on a rival as a sentence."""
    champion = confirmed.champion.contender.name
    units = [
        f"over {found.unit}s {found.word} ({counted(found.num_blocks, found.unit)})"
        for found in one.over_units
    ]
    said = {
        "beats": "beats",
        "beats, size open": "beats",
        "same": "is the same as",
        "cannot tell": "against",
        "loses": "loses to",
        "unstable": "against",
    }[one.word]
    text = f"{champion} {said} {one.rival}, over {counted(one.seeds, 'seed')}"
    if one.word == "beats, size open":
        text += ", by how much is open"
    if one.word == "cannot tell":
        text = f"{champion} {said} {one.rival}: cannot tell, over {counted(one.seeds, 'seed')}{_needs(one)}"
    if one.word == "unstable":
        text = f"{champion} {said} {one.rival}: unstable, {_failed(confirmed, one)}"
    return "; ".join([text, *units])


def lost_runs(confirmed: Confirmed) -> list[str]:
    """Returns a sentence on the wanted runs of each configuration that were lost through no fault of it."""
    found = []
    for one in confirmed.repeated:
        name = one.contender.name
        attempts = [each for (run, _), each in confirmed.lost.items() if run == name]
        if not attempts:
            continue
        last, most = attempts[-1][-1], max(map(len, attempts))
        was, them = ("was", "it") if len(attempts) == 1 else ("were", "them")
        times = f" {most} times by now" if most > 1 else ""
        found.append(
            f"{counted(len(attempts), 'run')} of {name} {was} lost{times}, as {last.ended_as} "
            f"({last.reason or 'no reason is known'}): that says nothing of the configuration, and the same command "
            f"runs {them} again{'; --trials and --as NAME confirm without it' if most > 1 else ''}"
        )
    return found


def footnotes(confirmed: Confirmed) -> list[str]:
    """Returns what verdicts count with: what matters, the error, what was not compared."""
    found = []
    judged = [one for one in confirmed.findings if one.seeds]
    known = [one.matters for one in judged if one.matters is not None]
    if known:
        origin = "given" if confirmed.plan.matters is not None else "the median spread over seeds"
        unit = f" {confirmed.unit}" if confirmed.unit else ""
        found.append(f"what matters: differences of {score(known[-1])}{unit}, {origin}")
    if judged:
        parts = ", ".join(f"{error:.3f} at {n}" for n, error in spending(len(confirmed.plan.seeds)).items())
        found.append(
            f"a wrong beats or loses in at most 5% of studies, over all rivals and looks: {parts} seeds; intervals "
            "hold for all rivals together, so that one may reach 0 beside a verdict that holds"
        )
    if judged and len(names := list(confirmed.constants)) > 1:
        found.append(
            "the constants count as one rival: one interval of the champion's mean judges each of them, over seeds; "
            f"over places and years the best, {names[0]}, is judged"
        )
    if confirmed.plan.stopped:
        found.append(
            f"{counted(confirmed.plan.stopped, 'trial')} of the search stopped early: not found worse, only stopped"
        )
    return found


def _runs(confirmed: Confirmed) -> RenderableType:
    table = plain_table()
    table.add_column("configuration", style="cyan", no_wrap=True)
    table.add_column("")  # the one that gives way on a narrow terminal
    for name in ("seeds", "mean", "spread", "time", "in the search"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in confirmed.repeated:
        table.add_row(*_run_cells(one))
    for name, value in confirmed.constants.items():
        table.add_row(name, Text("constant", style="dim"), "-", score(value), "-", "-", "-")
    return table


def _run_cells(one: Repeated) -> list[str | Text]:
    contender = one.contender
    failed = Text(one.failed, style="red") if one.num_failed else None
    return [
        contender.name,
        Text(role(contender.role, contender.label), style="dim"),
        str(len(one.trials)),
        failed or score(one.mean),
        score(one.spread),
        "-" if one.seconds is None else clock(one.seconds),
        Text(score(contender.value), style="dim"),
    ]


def _verdicts(confirmed: Confirmed) -> RenderableType:
    table = plain_table()
    table.add_column(f"{confirmed.champion.contender.name} against", style="cyan", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    unit = f" [{confirmed.unit}]" if confirmed.unit else ""
    for name in (f"better by{unit}", "interval", "seeds"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for one in confirmed.findings:
        if one.seeds:
            word = Text(one.word, style=_STYLES[one.word.partition(",")[0]])
            table.add_row(one.rival, word, signed(one.difference), interval(one), str(one.seeds))
    return table


def interval(one: Finding) -> str:
    """Writes the interval of a difference."""
    return "-" if one.low is None or one.high is None else f"[{signed(one.low)}, {signed(one.high)}]"


def signed(value: float | None) -> str:
    """Writes a difference with its sign."""
    return "-" if value is None else f"{'+' if value > 0 else ''}{score(value)}"


def role(what: str, label: str) -> str:
    """Writes what a configuration is in a confirmation: its role, and the option that it stands for."""
    return ", ".join(filter(None, ["" if what == "rival" and label else what, label]))


def _needs(one: Finding) -> str:
    if one.needed is None:
        return ""
    time = f", {_minutes(one.needed_s)} more on one lane" if one.needed_s else ""
    return f"; it would take about {one.needed:,} seeds{time}, to see {score(one.matters)}"


def _failed(confirmed: Confirmed, one: Finding) -> str:
    names = (confirmed.champion, *(r for r in confirmed.repeated if r.contender.name == one.rival))
    return " and ".join(
        f"of the runs of {each.contender.name} {each.failed}" for each in names if each.num_failed
    )


def _between(low: float, high: float) -> str:
    least, most = _minutes(low), _minutes(high)
    return f"about {most}" if least == most else f"{least} to {most}"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
