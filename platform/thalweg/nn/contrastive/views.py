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
    """A contrastive loss over a global batch: its mean is ``total / count``; both are 0 if no anchor counts.

    Attributes:
        total: Sum of the losses of all anchors that count, in fp64 for fp64 rows, else in fp32.
        count: Number of these anchors, or the weight of their positives; no gradient.
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
    """Computes the contrastive loss that identifies the positives of each row among all other rows.

    The loss of a pair is ``-log(exp(l_ij) / sum_k w_ik exp(l_ik))`` in nats, with the logits
    ``l_ij = rows_i @ rows_j / temperature`` and k over all rows but i. The loss of an anchor is the mean over its
    positives, weighted (L_out of SupCon, arXiv:2004.11362, Eq. 2). An anchor without a positive does not count.

    Args:
        rows: Embeddings, usually of length 1.
        positives: Weights of the positive pairs, 0 for all other pairs, such as `pairs.same` of the samples or the
            labels of the rows; never negative. A row is never its own positive.
        temperature: Divides the products. If it is learnable, scale the rows by `Temperature.on_both_sides` instead.
        log_weights: Logarithms of w for negatives (soft negatives); positives weigh 1. None weighs all equally.
        present: Mask of the rows that exist; the others are neither anchors nor candidates and may hold any values.
        num_anchors: Number of rows, the first ones, that are anchors; None takes all.
        over: Whether each anchor counts 1, or each pair of an anchor and a positive counts its weight.
        tile: Rows and columns of the logits that are computed at once; None takes the default of the device.

    Returns:
        The sum of the losses, and the number of anchors or the weight of the pairs that it is a sum of.
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
    """Returns the views as rows in the order of `Pairs.of_views`: all first views, then all second ones."""
    return views.transpose(0, 1).flatten(0, 1)
