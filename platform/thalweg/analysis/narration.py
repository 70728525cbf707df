"""Says in words what happens in a search."""

from __future__ import annotations

from rich.text import Text

from thalweg.analysis.standing import Standing, is_interruption
from thalweg.analysis.wording import clock, counted, score
from thalweg.events import (
    BaselineEvaluated,
    Event,
    Notice,
    StudyEnded,
    StudyStarted,
    TrialEnded,
)

STYLES = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


def sentences(event: Event, standing: Standing, new_best: bool) -> list[Text]:
    """Says in words what happened; nothing for what happens too often to be told."""
    if isinstance(event, StudyStarted):
        return [Text(text) for text in _opening(event, standing)]
    if isinstance(event, TrialEnded):
        return [_ending(event, standing, new_best)]
    if isinstance(event, Notice):
        return [Text(event.text, style="yellow")]
    if isinstance(event, BaselineEvaluated) and standing.study is not None:
        metric = standing.study.metric
        return [Text(f"baseline {event.name}: {metric} {score(standing.baselines[event.name])}")]
    if isinstance(event, StudyEnded):
        return [Text(f"{event.end}{f': {event.reason}' if event.reason else ''}")]
    return []


def _opening(event: StudyStarted, standing: Standing) -> list[str]:
    lines = [
        f"study {event.study}: {counted(event.num_trials, 'trial')} of at most "
        f"{counted(event.samples, 'sample')}, {event.metric} ({event.mode})"
    ]
    if standing.num_ended:
        lines.append(f"continued: {counted(standing.num_ended, 'trial')} had ended before")
    if event.num_lanes:
        workers = f" of {counted(event.num_workers, 'worker')}"
        lines.append(f"starting {counted(event.num_lanes, 'lane')}{workers}, once for all trials")
    return lines


def _ending(event: TrialEnded, standing: Standing, new_best: bool) -> Text:
    status = "interrupted" if is_interruption(event) else event.status
    text = Text(f"trial {event.number} ")
    text.append(status, style=STYLES.get(status, "yellow"))
    if status == "failed":
        return text.append(f" after {counted(event.samples, 'sample')}: {event.reason}")
    metric = standing.study.metric if standing.study is not None else "value"
    if event.value is not None:
        text.append(f": {metric} {score(event.value)}")
    text.append(f" after {counted(event.samples, 'sample')}, {clock(event.seconds)}")
    return text.append("  new best", style="bold green") if new_best else text
