"""Sums over all pairs of rows that contrastive losses need, in memory that grows only linearly with the rows.

The logits ``anchors @ candidates.T`` are computed tile by tile, forward and backward, and no tile is kept
(the streamed softmax of arXiv:1805.02867).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from thalweg.nn.contrastive.pairs import Pairs

TILES = {"cpu": 512}
"""Rows and columns of a tile by device: 1 MiB in fp32 stays in the cache of a core."""
WIDE_TILE = 4096
"""The same for all other devices, which need larger tiles: 64 MiB in fp32."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Which anchors are compared with which candidates, and with which weights.

    Attributes:
        positives: Weights of the positive pairs, 0 for all other pairs; never negative.
        paired: Whether candidate i is the only positive of anchor i; this replaces ``positives`` and saves time.
        log_weights: Logarithms of the weights of negatives in an anchor's sum, -inf to exclude one; positives always
            weigh 1. None weighs all equally.
        present_anchors: Mask of the anchors that exist; None takes all.
        present_candidates: Mask of the candidates that exist; None takes all.
        apart: Whether anchor i and candidate i are the same row, which is not compared with itself.
        both_ways: Whether to compute the sums of candidates over anchors as well.
        tile: Rows and columns that are computed at once; None takes the default of the device.
    """

    positives: Pairs | None = None
    paired: bool = False
    log_weights: Pairs | None = None
    present_anchors: Bool[Tensor, " anchor"] | None = None
    present_candidates: Bool[Tensor, " candidate"] | None = None
    apart: bool = False
    both_ways: bool = False
    tile: int | None = None

    def weights(self, down: slice, across: slice, like: Tensor) -> Tensor | None:
        """Returns the weights of the positives in a tile of logits, 0 for pairs that are not compared."""
        if self.positives is None:
            return None
        weights = self.positives.tile(down, across).to(like.dtype, copy=True)
        for present in (_column(self.present_anchors, down), _row(self.present_candidates, across)):
            if present is not None:
                weights.masked_fill_(~present, 0)
        if self.apart and down.start == across.start:
            weights.diagonal().fill_(0)
        return weights

    def terms(self, logits: Tensor, weights: Tensor | None, down: slice, across: slice) -> Tensor:
        """Turns a tile of logits, in place, into log terms of the sums; -inf for pairs that are not compared."""
        if self.log_weights is not None:
            log_weights = self.log_weights.tile(down, across).to(logits.dtype)
            logits += log_weights if weights is None else log_weights.masked_fill(weights > 0, 0)
        for present in (_column(self.present_anchors, down), _row(self.present_candidates, across)):
            if present is not None:
                # Several times as fast as to fill by a mask.
                logits += torch.zeros_like(present, dtype=logits.dtype).masked_fill_(~present, -torch.inf)
        if self.apart and down.start == across.start:
            logits.diagonal().fill_(-torch.inf)
        return logits


def _column(values: Tensor | None, down: slice) -> Tensor | None:
    return None if values is None else values[down, None]


def _row(values: Tensor | None, across: slice) -> Tensor | None:
    return None if values is None else values[None, across]


class PairSums(NamedTuple):
    """Sums over all pairs; for a row that is compared with no other they are -inf and 0.

    Attributes:
        log_sums: Log-sum-exp of each anchor over its candidates; without meaning for an absent anchor.
        back_log_sums: Log-sum-exp of each candidate over all anchors if ``both_ways`` is set, else empty.
        pulls: Weighted sum of each anchor's logits with its positives.
        masses: Sum of the weights of each anchor's positives; no gradient.
    """

    log_sums: Float[Tensor, " anchor"]
    back_log_sums: Float[Tensor, " back"]
    pulls: Float[Tensor, " anchor"]
    masses: Float[Tensor, " anchor"]


def pair_sums(
    anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "candidate dim"], relation: Relation
) -> PairSums:
    """Computes the sums of which contrastive losses are made, in fp32 even under autocast, or in fp64.

    Args:
        anchors: Rows, multiplied by the inverse temperature, as `in_fp32` returns them.
        candidates: Rows with which anchors are compared, of the same type.
        relation: Which of them are compared.
    """
    return PairSums(*_PairSums.apply(anchors, candidates, relation))


def in_fp32(
    rows: Float[Tensor, "row dim"], present: Bool[Tensor, " row"] | None = None
) -> Float[Tensor, "row dim"]:
    """Returns rows in fp32, or in fp64 if they are in fp64; absent rows, which may hold NaN, are 0."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return rows if present is None else rows.masked_fill(~present[:, None], 0)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Switches autocast off, if the device has one; on others, such as meta, torch.autocast itself raises."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


class _PairSums(torch.autograd.Function):
    """Two passes over the tiles of the logits; neither keeps one."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor, relation: Relation) -> tuple[Tensor, ...]:
        """Streams the log-sum-exp of rows and columns, and the sums over positives."""
        rows = anchors.new_full((len(anchors),), -torch.inf)
        columns = anchors.new_full((len(candidates) if relation.both_ways else 0,), -torch.inf)
        pulls, masses = torch.zeros_like(rows), torch.zeros_like(rows)
        with without_autocast(anchors.device):
            for down, across in _tiles(anchors, candidates, relation):
                logits = anchors[down] @ candidates[across].T
                weights = relation.weights(down, across, logits)
                if weights is not None:
                    pulls[down] += (weights * logits).sum(1)
                    masses[down] += weights.sum(1)
                terms = relation.terms(logits, weights, down, across)
                rows[down] = torch.logaddexp(rows[down], terms.logsumexp(1))
                if relation.both_ways:
                    columns[across] = torch.logaddexp(columns[across], terms.logsumexp(0))
        if relation.paired:
            pulls, masses = (anchors * candidates).sum(1), torch.ones_like(rows)
        ctx.save_for_backward(anchors, candidates, rows, columns)
        ctx.relation = relation
        ctx.mark_non_differentiable(masses)
        return rows, columns, pulls, masses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        """Sends slope * softmax of the row, of the column, and slope * weight of the positive through each tile."""
        anchors, candidates, *sums = ctx.saved_tensors
        relation: Relation = ctx.relation
        of_rows, of_columns, of_pulls, _ = slopes
        # Nothing is found where there is nothing: its softmax is 0 instead of 0 / 0.
        rows, columns = (each.masked_fill(each == -torch.inf, torch.inf) for each in sums)
        if relation.paired:
            to_anchors, to_candidates = candidates * of_pulls[:, None], anchors * of_pulls[:, None]
        else:
            to_anchors, to_candidates = torch.zeros_like(anchors), torch.zeros_like(candidates)
        with without_autocast(anchors.device):
            for down, across in _tiles(anchors, candidates, relation):
                logits = anchors[down] @ candidates[across].T
                weights = relation.weights(down, across, logits)
                terms = relation.terms(logits, weights, down, across)
                share = (terms - rows[down, None]).exp_().mul_(of_rows[down, None])
                if relation.both_ways:
                    share.addcmul_(terms.sub_(columns[across]).exp_(), of_columns[across])
                if weights is not None:
                    share.addcmul_(weights, of_pulls[down, None])
                to_anchors[down].addmm_(share, candidates[across])
                to_candidates[across].addmm_(share.T, anchors[down])
        return to_anchors, to_candidates, None


def _tiles(anchors: Tensor, candidates: Tensor, relation: Relation) -> list[tuple[slice, slice]]:
    tile = relation.tile or TILES.get(anchors.device.type, WIDE_TILE)
    return [
        (down, across) for down in _slices(len(anchors), tile) for across in _slices(len(candidates), tile)
    ]


def _slices(count: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, count)) for start in range(0, count, tile)]
