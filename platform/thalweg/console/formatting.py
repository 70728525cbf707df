"""Numbers, durations and curves as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII_BLOCKS = "_.-~=*^#"


def clock(seconds: float) -> str:
    """Writes a duration as ``0:42``, ``12:03`` or ``1:02:03``."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def number(value: Any, digits: int = 4) -> str:
    """Writes a number with ``digits`` significant digits, an integer with all of them, and any other value as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}g}"


def score(value: float | None) -> str:
    """Writes a metric with four decimals; one that is very small or very large with three significant digits."""
    if value is None:
        return "-"
    if not math.isfinite(value) or value == 0.0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.3g}"


def pairs(values: Mapping[str, Any]) -> str:
    """Writes ``name=value`` pairs, each without a space in it."""
    return "  ".join(f"{name}={number(value)}".replace(" ", "\u00a0") for name, value in values.items())


def cost(name: str, value: float | None) -> str:
    """Writes a cost: seconds with two decimals, all others as whole numbers."""
    if value is None:
        return "-"
    return f"{value:.2f}" if name.endswith("_s") else f"{value:,.0f}"


def listed(values: Iterable[tuple[str, float]]) -> str:
    """Writes names with their metrics: ``ridge 0.9363, climatology 0.4686``."""
    return ", ".join(f"{name} {score(value)}" for name, value in values)


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """Writes the last ``width`` values as bars between the smallest and the largest of them."""
    shown = [value for value in values if math.isfinite(value)][-width:]
    if not shown:
        return ""
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    halves = [value / 2 for value in shown]  # the difference of two floats can be beyond the largest one
    low, spread = min(halves), max(halves) - min(halves)
    levels = [round((half - low) / spread * (len(blocks) - 1)) if spread else 0 for half in halves]
    return "".join(blocks[level] for level in levels)
