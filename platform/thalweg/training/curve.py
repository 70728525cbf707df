"""The training curve between two evaluations, thinned to a few points that are means over their steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Curve:
    """Collects steps and gives a point each time ``spacing`` samples have passed.

    Args:
        due: Samples at the next evaluation, where the last point falls.
        spacing: Samples per point.
        start: Samples seen so far.
    """

    def __init__(self, due: int, spacing: int, start: int) -> None:
        self._due = due
        self._spacing = spacing
        self._next = start + spacing
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._weights: dict[str, float] = {}  # of all parts since the last point, which may lie in two stages
        self._points: list[tuple[int, dict[str, float]]] = []

    def add(
        self,
        samples: int,
        sums: Mapping[str, float],
        counts: Mapping[str, float],
        weights: Mapping[str, float],
        lr: float,
        engine: Any,
    ) -> None:
        """Adds a step: the loss parts as sums with counts, the weights used and the learning rate."""
        self._weights |= weights
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0.0) + counts[name]
        if samples < self._next and samples < self._due:
            return
        parts = {name: self._sums[name] / count for name, count in self._counts.items() if count > 0}
        point = {f"loss/{name}": value for name, value in parts.items()}
        point |= {f"weight/{name}": float(weight) for name, weight in self._weights.items()}
        point["loss/weighted"] = sum(self._weights[name] * value for name, value in parts.items())
        point["lr"] = lr
        norm = engine.get_global_grad_norm()
        if norm is not None:
            point["grad_norm"] = float(norm)
        self._points.append((samples, point))
        self._sums, self._counts, self._weights = {}, {}, {}
        self._next = samples + self._spacing

    def note(self, samples: int, prefix: str, values: Mapping[str, float]) -> None:
        """Adds a point of its own, such as the metrics at the end of a stage, under ``prefix/``."""
        self._points.append((samples, {f"{prefix}/{name}": value for name, value in values.items()}))

    def points(self) -> tuple[tuple[int, dict[str, float]], ...]:
        """Returns the points collected so far."""
        return tuple(self._points)
