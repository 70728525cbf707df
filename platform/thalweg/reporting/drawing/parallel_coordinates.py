"""Parallel coordinates of a study: a line for each trial through its parameters to its objective, the best on top.

The SVG is written by hand, for it stands in the page itself: a line under the pointer is shown with its trial's number,
without any script, and a thousand trials take some 150 kB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from thalweg.console.formatting import score
from thalweg.reporting.blocks import ReportPicture
from thalweg.reporting.drawing.scales import Scale, scale_of, scale_of_outcomes
from thalweg.search.domains import Domain
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.wording import counted

NAME = "parallel_coordinates"
_WIDTH, _HEIGHT, _FOOT, _SIDE = 1060, 360, 18, 70
_LETTER = 6.6
"""Width of a letter of a label."""
_NUM_ON_TOP = 5
_MANY = 100
_MAX_LETTERS = 16
_GOLDEN = 0.6180339887
_COLOURS = ((253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (68, 1, 84))
"""From the worst to the best: viridis, which people with colour blindness and grey printers tell apart."""
_STYLE = """
.pc path { fill: none; stroke-width: 1.2; stroke-opacity: .9 }
.pc .many { stroke-width: .7; stroke-opacity: .4 }
.pc .stopped { stroke: #c3c9d2; stroke-opacity: .8 }
.pc .far { stroke: #c3c9d2; stroke-opacity: .3; stroke-width: .7 }
.pc .top { stroke-width: 2.4; stroke-opacity: 1 }
.pc path:hover { stroke: #e8590c !important; stroke-width: 4; stroke-opacity: 1 }
.pc line { stroke: #1c2430; stroke-width: 1 }
.pc text { font: 11.5px system-ui, sans-serif; fill: #1c2430; paint-order: stroke; stroke: #fff; stroke-width: 3px }
.pc .head { font-weight: 600; stroke: none }
"""


@dataclass(frozen=True, kw_only=True)
class _Axis:
    name: str
    x: float
    scale: Scale

    def point(self, value: Any, number: int) -> tuple[float, float]:
        spread = number * _GOLDEN % 1
        return self.x, _HEIGHT - _FOOT - self.scale.place(value, spread) * (_HEIGHT - 2 * _FOOT)


def parallel_coordinates(
    record: StudyRecord, names: Sequence[str], domains: Mapping[str, Domain]
) -> ReportPicture | None:
    """Draws the trials of a study; None if none is complete, or nothing was searched.

    Args:
        record: The study.
        names: Its parameters, in the order of the axes.
        domains: What the space asks, by parameter, as far as it is known.
    """
    trials = [t for t in record.ranking() if t.params and t.value is not None and math.isfinite(t.value)]
    stopped = [t for t in record.trials if t.status == "pruned" and t.params]
    if not trials or not names:
        return None
    values = {n: [t.params[n] for t in (*trials, *stopped) if n in t.params] for n in names}
    names = [name for name in names if values[name]]
    outcomes = [float(trial.value) for trial in trials if trial.value is not None]
    outcome, beyond = scale_of_outcomes(outcomes, record.mode)
    scales = {name: scale_of(values[name], domains.get(name)) for name in names}
    axes = _axes(scales, str(record.definition["metric"]), outcome)
    lines = [_stopped(trial, axes, len(stopped)) for trial in stopped]
    lines += [_line(trial, axes, rank, len(trials)) for rank, trial in reversed([*enumerate(trials)])]
    return ReportPicture(
        name=f"{NAME}.svg",
        content=_svg(axes, lines).encode(),
        caption=_caption(axes, len(trials), len(stopped), beyond),
        inline=True,
    )


def _axes(scales: Mapping[str, Scale], objective: str, outcome: Scale) -> list[_Axis]:
    width = max(_WIDTH, 80 * len(scales) + 2 * _SIDE)
    step = (width - 2 * _SIDE) / len(scales)
    found = [
        _Axis(name=name, x=_SIDE + place * step, scale=each)
        for place, (name, each) in enumerate(scales.items())
    ]
    return [*found, _Axis(name=objective, x=width - _SIDE, scale=outcome)]


def _line(trial: TrialRecord, axes: Sequence[_Axis], rank: int, count: int) -> str:
    last = axes[-1]
    points = [*_points(trial, axes), last.point(trial.value, trial.number)]
    kind = "top" if rank < _NUM_ON_TOP else "many" if count > _MANY else "one"
    return (
        f'<path class="{kind}" stroke="{_colour(1 - rank / max(1, count - 1))}" d="{_path(points)}"><title>trial '
        f"{trial.number}: {score(trial.value)}</title></path>"
    )


def _stopped(trial: TrialRecord, axes: Sequence[_Axis], count: int) -> str:
    kind, path = "far" if count > _MANY else "stopped", _path(_points(trial, axes))
    return f'<path class="{kind}" d="{path}"><title>trial {trial.number}: stopped early</title></path>'


def _points(trial: TrialRecord, axes: Sequence[_Axis]) -> list[tuple[float, float]]:
    """Returns where a trial crosses the axes of its parameters; those that its branch lacks are passed by."""
    return [
        axis.point(trial.params[axis.name], trial.number) for axis in axes[:-1] if axis.name in trial.params
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in points)


def _colour(share: float) -> str:
    """Returns the colour of a rank as a share: 0 for the worst trial, 1 for the best."""
    at = share * (len(_COLOURS) - 1)
    first = min(int(at), len(_COLOURS) - 2)
    mixed = (
        round(low + (high - low) * (at - first))
        for low, high in zip(_COLOURS[first], _COLOURS[first + 1], strict=True)
    )
    return "#" + "".join(f"{each:02x}" for each in mixed)


def _svg(axes: Sequence[_Axis], lines: Sequence[str]) -> str:
    slanted = _is_slanted(axes)
    top = 18 + (0.45 * _LETTER * max(len(axis.name) for axis in axes) if slanted else 8)
    width, height = axes[-1].x + _SIDE, _HEIGHT + top
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="pc" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 {-top:.0f} {width:.0f} {height:.0f}" role="img" aria-label="parallel coordinates">',
            f"<style>{_STYLE}</style>",
            f'<rect x="0" y="{-top:.0f}" width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
            *lines,
            *(part for axis in axes for part in _drawn(axis, axis is axes[-1], slanted)),
            "</svg>",
        ]
    )


def _is_slanted(axes: Sequence[_Axis]) -> bool:
    step = axes[1].x - axes[0].x
    return any(_LETTER * len(axis.name) > step for axis in axes)


def _drawn(axis: _Axis, is_last: bool, slanted: bool) -> Iterator[str]:
    x = f"{axis.x:.0f}"
    yield f'<line x1="{x}" x2="{x}" y1="{_FOOT}" y2="{_HEIGHT - _FOOT}"/>'
    turn = f' transform="rotate(-25 {x} 6)"' if slanted else ""
    anchor = "start" if slanted else "middle"
    yield f'<text class="head" x="{x}" y="6" text-anchor="{anchor}"{turn}>{escape(axis.name)}</text>'
    beside, anchor = (axis.x + 6, "start") if is_last else (axis.x - 6, "end")
    for place, label in axis.scale.labels():
        y = _HEIGHT - _FOOT - place * (_HEIGHT - 2 * _FOOT) + 4
        yield f'<text x="{beside:.0f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label[:_MAX_LETTERS])}</text>'


def _caption(axes: Sequence[_Axis], num_complete: int, num_stopped: int, beyond: int) -> str:
    logs = [axis.name for axis in axes if axis.scale.log]
    parts = [
        f"A line for each of {counted(num_complete, 'complete trial')}, through its parameters to its "
        f"{axes[-1].name}: yellow for the last in the ranking, dark for the first, the best {_NUM_ON_TOP} thick",
    ]
    if num_stopped:
        parts.append(f"grey: {counted(num_stopped, 'trial')} stopped early, which have no last value")
    if logs:
        parts.append(f"logarithmic: {', '.join(logs)}")
    if beyond:
        parts.append(f"{counted(beyond, 'trial')} beyond the worse end of the last axis")
    return "; ".join(parts) + "."
