"""A picture of a verdict: a dot for each run, lines that join equal seeds, intervals, and the band of what matters."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from thalweg.analysis.pictures import literal_text
from thalweg.analysis.verdict.confirmed import Confirmed
from thalweg.files import atomic_file, writing
from thalweg.study_folder import StudyFolder

FILE = "verdict.png"
_COLOURS = {"beats": "#1b7837", "same": "#2166ac", "cannot tell": "#a0a0a0", "loses": "#b2182b"}


def draw_verdict(confirmed: Confirmed, directory: Path) -> Path:
    """Draws a verdict into the folder of a confirmation; returns the file.

    Raises:
        OutputError: It cannot be written.
    """
    target = StudyFolder(directory).verdict / FILE
    with writing("pictures", target, "free space"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as draft, literal_text():
            figure(confirmed).savefig(draft, format="png", dpi=110, metadata={"Software": None})
    return target


@literal_text()
def figure(confirmed: Confirmed) -> Figure:
    """Draws the runs on the left, and the differences from the champion on the right."""
    names = [one.contender.name for one in confirmed.repeated]
    drawn = Figure(
        figsize=(11, 2.2 + 0.45 * (len(names) + max(1, len(confirmed.constants)))), layout="constrained"
    )
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.2, 1.0))
    _runs(left, confirmed)
    _differences(right, confirmed)
    ticks = [*names, *confirmed.constants]
    left.set_yticks(range(len(ticks)), ticks)
    left.invert_yaxis()
    for place in (left, right):
        place.spines[["top", "right"]].set_visible(False)
        place.margins(y=0.12)
    drawn.suptitle(f"{confirmed.plan.study}: fresh seeds", fontsize=11)
    return drawn


def _runs(place: Axes, confirmed: Confirmed) -> None:
    rows = list(enumerate(confirmed.repeated))
    for index in range(len(confirmed.plan.seeds)):
        points = [(one.scores.get(index), row) for row, one in rows]
        known = [(value, row) for value, row in points if value is not None]
        if len(known) > 1:
            place.plot(*zip(*known, strict=True), color="0.8", linewidth=0.8, zorder=1)
    for row, one in rows:
        values = [value for value in one.scores.values() if value is not None]
        place.plot(values, [row] * len(values), "o", color="#2166ac", markersize=5, alpha=0.8, zorder=2)
        if one.mean is not None:
            place.plot(one.mean, row, "|", color="black", markersize=18, zorder=3)
        if one.num_failed:
            place.annotate(
                one.failed, (1.0, row), xycoords=("axes fraction", "data"), ha="right",
                va="center", color="#b2182b",
            )  # fmt: skip
    for row, value in enumerate(confirmed.constants.values(), start=len(rows)):
        place.plot(value, row, "D", color="0.4", markersize=6)
    better = "larger" if confirmed.mode == "max" else "smaller"
    place.set_xlabel(f"{confirmed.metric}{_bracketed(confirmed.unit)} ({better} is better)")


def _differences(place: Axes, confirmed: Confirmed) -> None:
    judged = [(row, one) for row, one in enumerate(confirmed.findings, start=1) if one.seeds]
    bands = [one.matters for _, one in judged if one.matters]
    if bands:
        place.axvspan(-bands[-1], bands[-1], color="0.93", zorder=0)
    place.axvline(0, color="0.3", linewidth=0.8)
    for row, one in judged:
        colour = _COLOURS.get(one.word.partition(",")[0], "#b2182b")
        if one.difference is not None:
            if one.low is not None and one.high is not None:
                place.plot((one.low, one.high), (row, row), color=colour, linewidth=2.5)
            place.plot(one.difference, row, "o", color=colour, markersize=7)
        place.annotate(
            one.word, (one.difference or 0.0, row), xytext=(0, 7), textcoords="offset points", ha="center",
            color=colour, fontsize=9,
        )  # fmt: skip
    name, unit = confirmed.champion.contender.name, _bracketed(confirmed.unit)
    place.set_xlabel(f"{name} is better by{unit}; grey: less than matters")


def _bracketed(unit: str) -> str:
    return f" [{unit}]" if unit else ""
