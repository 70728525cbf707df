"""Weights of all pairs of rows, computed tile by tile: labels, distances in time, or any matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Weigh = Callable[[Tensor, Tensor], Tensor]
"""Gives the weights of pairs from the values of anchors (anchor, 1, ...) and of candidates (1, candidate, ...)."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A weight for each pair of an anchor and a candidate, which no gradient reaches.

    No table of all pairs is ever held: the weights of a tile follow from what is known of its rows.

    Attributes:
        values: What is known of each row, (row, ...): a label, a time, a place, a number of the row.
        weigh: Gives the weights, bool or float (anchor, candidate), of a tile.
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
    """Returns true for two rows of one value: of one class, or views of one sample."""
    return Pairs(values=values, weigh=torch.eq)


def by_distance(places: Shaped[Tensor, " row"], weigh: Callable[[Tensor], Tensor]) -> Pairs:
    """Returns a function of the distance of two rows on one axis, such as days between them.

    Args:
        places: Place of each row on the axis, in the unit that ``weigh`` expects.
        weigh: Gives the weights of distances that are zero or positive.
    """
    return Pairs(values=places, weigh=lambda anchors, candidates: weigh((anchors - candidates).abs()))


def matrix(weights: Float[Tensor, "row row"]) -> Pairs:
    """Returns the weights of a matrix, whose memory grows with the square of the rows: for small batches."""
    rows = torch.arange(len(weights), device=weights.device)
    return Pairs(values=rows, weigh=lambda anchors, candidates: weights[anchors, candidates])
