"""Pictures of schedules in a terminal: values over the share of a stage's budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from thalweg.config import FamilyConfig
from thalweg.console.formatting import ASCII_BLOCKS, BLOCKS, number
from thalweg.knobs.scheduled import Schedule, schedules_of
from thalweg.training.schedule import lr_factor

_WIDTH, _HEIGHT = 48, 4

Course = Callable[[float], float]
"""Value at a share of the stage's budget."""


def pictures(config: FamilyConfig, *, ascii_only: bool) -> RenderableType:
    """Draws the learning rate and each schedule of a configuration, but for those of idle knobs."""
    drawn: list[RenderableType] = []
    for name, words, course in _courses(config):
        lines = Text("\n".join(picture(course, ascii_only=ascii_only)))
        drawn += [Text.assemble((name, "cyan"), f"  {words}"), Padding(lines, (0, 0, 0, 4))]
    return Group(*drawn)


def _courses(config: FamilyConfig) -> Iterator[tuple[str, str, Course]]:
    knobs = config.optimization
    warm_up = f", after a rise of {number(knobs.warmup_ratio)}" if knobs.warmup_ratio else ""
    yield "optimization.lr", f"{knobs.lr_schedule}{warm_up}", lambda done: knobs.lr * lr_factor(knobs, done)
    for name, schedule in schedules_of(config):
        yield name, _words(schedule), schedule.at


def _words(schedule: Schedule) -> str:
    floor = (
        "" if "floor" in schedule.idle() or schedule.floor is None else f", at least {number(schedule.floor)}"
    )
    way = f"{number(schedule.start)} to {number(schedule.end)}"
    return f"{way}, {schedule.shape}, half-way at {number(schedule.half_point)}{floor}"


def picture(course: Course, *, ascii_only: bool = False) -> list[str]:
    """Returns the lines of a picture: bars between the smallest and the largest value, which stand at the left.

    Args:
        course: Value at each share of the stage's budget.
        ascii_only: Whether the terminal shows ASCII alone.
    """
    values = [course(place / (_WIDTH - 1)) for place in range(_WIDTH)]
    low, high = min(values), max(values)
    height = _HEIGHT if high > low else 1
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    levels = [_level(value, low, high, height * len(blocks)) for value in values]
    labels = {0: number(low, 3), height - 1: number(high, 3)}
    margin = max(map(len, labels.values()))
    lines = []
    for row in reversed(range(height)):
        bars = "".join(_block(level - row * len(blocks), blocks) for level in levels)
        lines.append(f"{labels.get(row, ''):>{margin}} {bars}".rstrip())
    return [*lines, f"{'':>{margin}} 0{'1':>{_WIDTH - 1}}"]


def _level(value: float, low: float, high: float, num_levels: int) -> int:
    """Returns the height of a bar, at least 1 and at most all levels; all of them if nothing changes."""
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 1.0
    return max(1, round(share * num_levels)) if math.isfinite(share) else 1


def _block(height: int, blocks: str) -> str:
    """Returns the part of a bar in one row."""
    return blocks[min(height, len(blocks)) - 1] if height > 0 else " "
