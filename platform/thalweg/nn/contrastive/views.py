"""The contrastive loss over the rows of one set: the general form of NT-Xent and SupCon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from thalweg.nn.contrastive.pair_sums import PairSums, Relation, in_fp32, pair_sums
from thalweg.nn.contrastive.pairs import Pairs


@dataclass(frozen=True)
class Contrast:
    """A loss over a global batch: its mean is ``total / count``, and both are 0 if nothing counts.

    Attributes:
        total: Sum of the losses of all anchors that count, fp32, or fp64 for fp64.
        count: Their number, or the weight of their positives; no gradient.
    """

    total: Float[Tensor, ""]
    count: Float[Tensor, ""]


def contrast(
    rows: Float[Tensor, "row dim"],
    positives: Pairs,
    *,
    temperature: float = 1.0,
    log_weights: Pairs | None = None,
    present: Bool[Tensor, " row"] | None = None,
    num_anchors: int | None = None,
    over: Literal["anchors", "pairs"] = "anchors",
    tile: int | None = None,
) -> Contrast:
    """Lets rows search for their positives among all other rows.

    The loss of a pair is ``-log(exp(l_ij) / sum_k w_ik exp(l_ik))`` in nats, with the logits
    ``l_ij = rows_i @ rows_j / temperature`` and k over all rows but i. Of an anchor it is the mean over its positives
    by their weights (L_out of SupCon, arXiv:2004.11362, Eq. 2). An anchor without a positive does not count.

    Args:
        rows: Embeddings, as a rule of length 1.
        positives: Weights with which two rows should be near each other, zero or positive, such as `pairs.same` of
            the samples or the labels of the rows. A row is never its own positive.
        temperature: Divides the products. A learnable one belongs into the rows: `Temperature.on_both_sides`.
        log_weights: Logarithms of w for pairs that are no positives (soft negatives); positives weigh 1. None weighs
            all alike.
        present: Rows that there are; the others neither search nor are found, and may hold anything.
        num_anchors: Rows that search, the first ones; None lets all of them.
        over: Whether every anchor counts as one, or every pair of an anchor and a positive by its weight.
        tile: Rows and columns of the logits that are computed at once; None takes what suits the device.

    Returns:
        The sum, and the anchors or the weight of the pairs that it is a sum of.
    """
    wide = in_fp32(rows, present)
    searching = slice(num_anchors)
    relation = Relation(
        positives=positives,
        log_weights=log_weights,
        present_anchors=None if present is None else present[searching],
        present_candidates=present,
        apart=True,
        tile=tile,
    )
    return _add_up(pair_sums(wide[searching] / temperature, wide, relation), over)


def _add_up(sums: PairSums, over: Literal["anchors", "pairs"]) -> Contrast:
    counted = (sums.masses > 0) & (sums.log_sums > -torch.inf)
    masses = sums.masses.masked_fill(~counted, 1)
    losses = sums.log_sums.masked_fill(~counted, 0) - sums.pulls / masses
    weights = counted.to(losses.dtype) if over == "anchors" else masses * counted
    return Contrast((losses * weights).sum(), weights.sum())


def as_rows(views: Shaped[Tensor, " sample view *axes"]) -> Shaped[Tensor, " row *axes"]:
    """Returns the views as rows: all first views, then all second ones, as `Pairs.of_views` has them."""
    return views.transpose(0, 1).flatten(0, 1)
