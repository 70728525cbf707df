"""Weights of all pairs of rows, computed tile by tile from labels, distances in time, or a matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Weigh = Callable[[Tensor, Tensor], Tensor]
"""Returns the weights of pairs from the values of anchors (anchor, 1, ...) and of candidates (1, candidate, ...)."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A weight without gradient for each pair of an anchor and a candidate.

    The table of all pairs is never held in memory: the weights of a tile are computed from values of its rows.

    Attributes:
        values: Value of each row, (row, ...), such as a label, a time, a place or the number of the row.
        weigh: Returns the weights of a tile, bool or float (anchor, candidate).
    """

    values: Tensor
    weigh: Weigh

    def tile(self, down: slice, across: slice) -> Shaped[Tensor, "anchor candidate"]:
        """Returns the weights of some anchors with some candidates."""
        return self.weigh(self.values[down, None], self.values[None, across])

    def of_views(self, num_views: int) -> Pairs:
        """Returns the same weights for several views of each row: all first views, then all second ones."""
        return Pairs(
            values=self.values.repeat(num_views, *(1 for _ in self.values.shape[1:])), weigh=self.weigh
        )


def same(values: Shaped[Tensor, " row"]) -> Pairs:
    """Returns weights that are true for two rows of equal value, such as a class, or a sample for its views."""
    return Pairs(values=values, weigh=torch.eq)


def by_distance(places: Shaped[Tensor, " row"], weigh: Callable[[Tensor], Tensor]) -> Pairs:
    """Returns weights that depend on the distance of two rows along one axis, such as the days between them.

    Args:
        places: Position of each row on the axis, in the unit that ``weigh`` expects.
        weigh: Returns the weights for distances, which are never negative.
    """
    return Pairs(values=places, weigh=lambda anchors, candidates: weigh((anchors - candidates).abs()))


def matrix(weights: Float[Tensor, "row row"]) -> Pairs:
    """Returns the weights in a matrix, whose memory grows with the square of the rows; for small batches."""
    rows = torch.arange(len(weights), device=weights.device)
    return Pairs(values=rows, weigh=lambda anchors, candidates: weights[anchors, candidates])
