"""Sentences for people about the events of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from thalweg.analysis.comparison import LOSS, TIE, WIN
from thalweg.analysis.progress import Standing
from thalweg.console.formatting import clock, score
from thalweg.contract import Mode
from thalweg.events import (
    BaselineEvaluated,
    Event,
    Notice,
    StudyEnded,
    StudyStarted,
    TrialEnded,
    TrialStarted,
)
from thalweg.search.store.multi_objective.constraints import Constraints, in_words
from thalweg.wording import counted

MAX_RUNNING = 4  # trials that a line has room for
STYLES = {
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
    "running": "cyan",
    "interrupted": "yellow",
}


def sentences(event: Event, standing: Standing, new_best: bool) -> list[Text]:
    """Returns sentences about an event; none if such events are too frequent to be told."""
    if isinstance(event, StudyStarted):
        return [Text(text) for text in _opening(event, standing)]
    if isinstance(event, TrialStarted) and "continues" in event.tags:
        before = event.tags["continues"]
        if "promoted_after" in event.tags:
            after = counted(int(event.tags["promoted_after"]), "sample")
            return [
                Text(f"trial {event.number} goes on from trial {before}, which was stopped after {after}")
            ]
        return [Text(f"trial {event.number} continues trial {before}, which was interrupted")]
    if isinstance(event, TrialEnded):
        return [_ending(event, standing, new_best)]
    if isinstance(event, Notice):
        return [Text(event.text, style="yellow")]
    if isinstance(event, BaselineEvaluated) and standing.study is not None:
        metric = standing.study.metric
        return [Text(f"baseline {event.name}: {metric} {score(event.metrics.get(metric))}")]
    if isinstance(event, StudyEnded):
        return [Text(f"{event.end}{f': {event.reason}' if event.reason else ''}")]
    return []


def starting(study: StudyStarted, stages: Sequence[tuple[str, float]] = ()) -> str:
    """Returns a sentence on what the first trials wait for.

    Args:
        study: The study.
        stages: What each lane that starts is doing, and for how many seconds.
    """
    lanes = f"{counted(study.num_lanes, 'lane')} of {counted(study.num_workers, 'worker')}"
    told: dict[str, list[float]] = {}
    for stage, seconds in stages:
        told.setdefault(stage, []).append(seconds)
    doing = [
        f"{f'{len(times)} ' if len(stages) > 1 else ''}{stage} {max(times):.0f} s"
        for stage, times in told.items()
    ]
    wait = ", ".join(doing) or "a minute or, on a busy machine, a few"
    return f"starting {lanes}, once for all trials: {wait}"


def time_left(standing: Standing) -> str:
    """Returns how long the search will take in words; empty while that is unknown."""
    left = standing.seconds_left()
    if left is None:
        return ""
    seconds, is_bound = left
    return f"{'at most' if is_bound else 'about'} {clock(seconds)} left"


def outlook(standing: Standing) -> str:
    """Says what the next trials are expected to bring; empty while that is unknown."""
    found = standing.outlook()
    return "" if found is None else f"next {counted(found[0], 'trial')}: expected improvement {found[1]:.2g}"


def whereabouts(standing: Standing) -> str:
    """Returns a line on the progress of the search and of its running trials."""
    if standing.study is None:
        return ""
    parts = [f"{standing.progress:.0%} done", time_left(standing), outlook(standing)]
    for trial in list(standing.running.values())[:MAX_RUNNING]:
        value = f", {standing.study.metric} {score(trial.curve[-1])}" if trial.curve else ""
        parts.append(f"trial {trial.number} at {counted(trial.samples, 'sample')}{value}")
    hidden = len(standing.running) - MAX_RUNNING
    return "; ".join(filter(None, [*parts, f"{hidden} more run" if hidden > 0 else ""]))


def asked_by(event: StudyStarted) -> str:
    """Returns the objectives and constraints of a study."""
    also: Mapping[str, Mode] = event.definition.get("also", {})
    mode: Mode = "min" if event.mode == "min" else "max"
    return in_words({event.metric: mode, **also}, Constraints.of_definition({"study": event.definition}))


def _opening(event: StudyStarted, standing: Standing) -> list[str]:
    options = f", {event.tags['options']}" if "options" in event.tags else ""
    lines = [
        f"study {event.study}: {counted(event.num_trials, 'trial')} of at most "
        f"{counted(event.samples, 'sample')}, {asked_by(event)}{options}"
    ]
    if standing.num_ended:
        lines.append(f"continued: {counted(standing.num_ended, 'trial')} had ended before")
    if event.num_lanes:
        lines.append(starting(event))
    return lines


def _ending(event: TrialEnded, standing: Standing, new_best: bool) -> Text:
    status = "interrupted" if event.interrupted else event.status
    text = Text(f"{standing.title(event.number)} ")
    text.append(status, style=STYLES.get(status, "yellow"))
    if event.status == "failed" and event.ended_as:
        text.append(f" as {event.ended_as}")
    if status == "failed":
        return text.append(f" after {counted(event.samples, 'sample')}: {event.reason}")
    metric = standing.study.metric if standing.study is not None else "value"
    if event.value is not None:
        text.append(f": {metric} {score(event.value)}")
    text.append(f" after {counted(event.samples, 'sample')}, {clock(event.seconds)}")
    if event.breaks:
        text.append(f"  breaks {event.breaks}", style="yellow")
    return text.append("  new best", style="bold green") if new_best else text


def compared(standing: Standing, value: float | None) -> str:
    """Compares a value with the best baseline: ``(- worse than ridge 0.9363)``; empty if no baseline is known."""
    best = standing.best_baseline()
    mark = "" if best is None else best.mark(value)
    if best is None or not mark:
        return ""
    words = {WIN: "better than", LOSS: "worse than", TIE: "equal to"}[mark]
    return f"({mark} {words} {best.name} {score(best.value)})"
