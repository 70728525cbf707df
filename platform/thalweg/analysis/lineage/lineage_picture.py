"""A picture of a population: each changing parameter and the objective over training, a line for each schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from thalweg.analysis.lineage.schedules import Lineage, MemberSchedule
from thalweg.analysis.pictures import also_in_mlflow, literal_text, store_study_picture
from thalweg.search.store.population.lineage import curve_of
from thalweg.study_folder import StudyFolder

_BEST, _OTHER = "#2166ac", "0.65"
_LOG_FROM = 20.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


def store_lineage(lineage: Lineage, directory: Path, uri: str) -> str:
    """Draws the schedules into the study's folder and into MLflow; returns a sentence for people.

    Args:
        lineage: The schedules.
        directory: The study's folder, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    target = StudyFolder(directory).lineage
    known = store_study_picture(figure(lineage), target, lineage.study, directory, uri)
    return f"picture of the lineage in {target}, {also_in_mlflow(known, uri)}"


@literal_text()
def figure(lineage: Lineage) -> Figure:
    """Draws the objective and the changing parameters that are numbers, one below the other; the best in colour."""
    numbers = [name for name in lineage.names if _is_number(lineage, name)]
    drawn = Figure(figsize=(8, 2.2 * (len(numbers) + 1) + 0.6), layout="constrained")
    drawn.suptitle(f"{lineage.study}: {len(lineage.schedules)} schedules, the best one in blue")
    places = drawn.subplots(len(numbers) + 1, 1, sharex=True, squeeze=False)[:, 0]
    for schedule in reversed(lineage.schedules):
        style = {"color": _BEST if schedule is lineage.schedules[0] else _OTHER, "linewidth": 1.4}
        _curve(places[0], schedule, style)
        for place, name in zip(places[1:], numbers, strict=True):
            _steps(place, schedule, name, style)
    for place, name in zip(places, [lineage.metric, *numbers], strict=True):
        place.set_ylabel(name)
        place.spines[["top", "right"]].set_visible(False)
    for place, name in zip(places[1:], numbers, strict=True):
        values = [
            float(s.params[name]) for each in lineage.schedules for s in each.segments if name in s.params
        ]
        if min(values) > 0 and max(values) / min(values) >= _LOG_FROM:
            place.set_yscale("log")
    places[-1].set_xlabel("training samples; points: another trial goes on with other values")
    return drawn


def _curve(place: Axes, schedule: MemberSchedule, style: dict[str, Any]) -> None:
    points = curve_of(schedule.segments)
    if points:
        place.plot(*zip(*points, strict=True), label=f"trial {schedule.trial.number}", **style)


def _steps(place: Axes, schedule: MemberSchedule, name: str, style: dict[str, Any]) -> None:
    known = [segment for segment in schedule.segments if name in segment.params]
    ends = [(samples, segment.params[name]) for segment in known for samples in (segment.start, segment.end)]
    place.plot(*zip(*ends, strict=True), **style)
    changes = [(segment.start, segment.params[name]) for segment in known[1:]]
    if changes:
        place.plot(*zip(*changes, strict=True), "o", color=style["color"], markersize=3)


def _is_number(lineage: Lineage, name: str) -> bool:
    values = [s.params[name] for each in lineage.schedules for s in each.segments if name in s.params]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
