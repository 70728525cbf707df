"""A picture of the course of a study: learning curves of its trials, and the best value trial by trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from thalweg.analysis.comparison import BestBaseline
from thalweg.reporting.drawing.scales import scale_of_outcomes
from thalweg.search.store.records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BEST, _COMPLETE, _STOPPED, _BASELINE = "#440154", "#21918c", "#b9c0ca", "#b2182b"
_MANY = 200
"""So many curves are drawn as pixels, which take less room than lines."""
_MARGIN = 0.08


def figure(record: StudyRecord, baseline: BestBaseline | None) -> Figure:
    """Draws curves on the left, and values by the trial's number on the right.

    Args:
        record: The study; at least one trial was evaluated.
        baseline: The best baseline by the objective; None draws none.
    """
    drawn = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    _curves(left, record)
    _values(right, record)
    for place in (left, right):
        place.spines[["top", "right"]].set_visible(False)
        if baseline is not None:
            place.axhline(baseline.value, color=_BASELINE, linewidth=1, linestyle="--")
    if baseline is not None:
        right.annotate(
            f"baseline {baseline.name}", (1.0, baseline.value), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", ha="right", color=_BASELINE, fontsize=8,
        )  # fmt: skip
    metric = str(record.definition["metric"])
    left.set_ylabel(f"{metric} ({'larger' if record.mode == 'max' else 'smaller'} is better)")
    left.set_ylim(_limits(record, baseline))
    return drawn


def _curves(place: Axes, record: StudyRecord) -> None:
    best = record.best()
    trials = [t for t in record.trials if t.curve and t.status in ("complete", "pruned")]
    as_pixels = len(trials) > _MANY
    width, alpha = (0.5, 0.3) if as_pixels else (0.9, 0.7)
    for status, colour in (("pruned", _STOPPED), ("complete", _COMPLETE)):
        for trial in trials:
            if trial.status == status and trial is not best:
                place.plot(*_points(trial), color=colour, linewidth=width, alpha=alpha, rasterized=as_pixels)
                if trial.status == "pruned" and not as_pixels:
                    place.plot(*trial.curve[-1], "x", color="0.45", markersize=3)
    if best is not None and best.curve:
        marker = "" if len(best.curve) > 1 else "o"
        place.plot(*_points(best), color=_BEST, linewidth=2.4, marker=marker)
        place.annotate(
            f"trial {best.number}", best.curve[-1], xytext=(-2, 5 if record.mode == "max" else -13),
            textcoords="offset points", ha="right", color=_BEST, fontsize=9,
        )  # fmt: skip
    place.set_xlabel("training samples seen")
    place.set_title("learning curves", fontsize=10)


def _points(trial: TrialRecord) -> tuple[list[int], list[float]]:
    return [samples for samples, _ in trial.curve], [value for _, value in trial.curve]


def _values(place: Axes, record: StudyRecord) -> None:
    better: Callable[[float, float], float] = max if record.mode == "max" else min
    numbers: list[int] = []
    values: list[float] = []
    for trial in record.trials:
        if trial.status == "complete" and trial.value is not None and math.isfinite(trial.value):
            numbers.append(trial.number)
            values.append(trial.value)
    size = 4 if len(numbers) > _MANY else 14
    place.scatter(numbers, values, s=size, color=_COMPLETE, rasterized=len(numbers) > _MANY)
    place.step(numbers, [*accumulate(values, better)], where="post", color=_BEST, linewidth=2)
    place.set_xlabel("number of the trial")
    place.set_title("values of complete trials, and the best so far", fontsize=10)


def _limits(record: StudyRecord, baseline: BestBaseline | None) -> tuple[float, float]:
    """Returns the ends of the axis of values, so that a few bad ones do not press all others together."""
    values = _finite([value for trial in record.trials for _, value in trial.curve])
    values += _finite([trial.value for trial in record.ranking() if trial.value is not None])
    scale, _ = scale_of_outcomes(values or [0.0], record.mode)
    known = [scale.low, scale.high, *_finite([baseline.value] if baseline is not None else [])]
    low, high = min(known), max(known)
    room = _MARGIN * (high - low) or 1.0
    return low - room, high + room


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
