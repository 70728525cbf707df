"""Figures of benchmarks: medians with their goals, and how they are told."""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
"""``name``, ``value``, ``unit``, ``goal`` (empty or None if there is none) and ``met``, None without a goal."""


class Figures:
    """Medians over rounds with their goals, in the order in which they are added."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, values: Sequence[float], unit: str, goal: str = "") -> None:
        """Adds a figure; a goal is ``at least`` or ``at most`` a number."""
        value = statistics.median(values)
        word, _, bound = goal.rpartition(" ")
        met = None if not goal else value >= float(bound) if word == "at least" else value <= float(bound)
        row = {"name": name, "value": float(f"{value:.6g}"), "unit": unit, "goal": goal, "met": met}
        self.rows.append(row)

    def add_check(self, differences: Mapping[str, float], agreement: float) -> None:
        """Adds how far arms differ that must agree; stops unless that is rounding."""
        for name, difference in differences.items():
            if not difference <= agreement:
                sys.exit(f"{name} of both arms must agree to {agreement:g}, got {difference:.2g}")
            self.add(f"relative difference, {name}", [difference], "1")


def tell(rows: Sequence[Row], file: Path | None, **also: Any) -> None:
    """Prints figures as a table, and writes them to a file if there is one.

    Args:
        rows: The figures.
        file: The file; None writes none.
        also: What the file holds beside the figures.
    """
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        verdict = "" if row["met"] is None else f"  goal {row['goal']}: {'met' if row['met'] else 'MISSED'}"
        print(f"{row['name']:<{width}} {row['value']:>10.5g} {row['unit']}{verdict}")
    if file:
        file.write_text(json.dumps({**also, "figures": list(rows)}, indent=1))
