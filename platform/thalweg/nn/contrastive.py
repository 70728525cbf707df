"""Contrastive loss in tiles: memory that grows with the number of samples, not with its square."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

TILES = {"cpu": 512}
"""Rows and columns of a tile by device: 1 MiB in fp32 stays in the cache of a core while it is worked on."""
WIDE_TILE = 4096
"""The same for all other devices, which need more work at once: 64 MiB in fp32."""


def info_nce(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    tile: int | None = None,
    counted: Bool[Tensor, " sample"] | None = None,
) -> Float[Tensor, ""]:
    """Computes the symmetric InfoNCE loss (CLIP, Radford et al., arXiv:2103.00020, Fig. 3), summed over samples.

    Row i of the logits ``first @ second.T`` is the search of sample i of ``first`` among all of ``second``, column i
    the other way round; the right answer is on the diagonal. The loss of a sample is the mean of both
    cross-entropies, in nats. A temperature belongs into the rows of ``first``.

    Args:
        first: Embeddings of one modality, multiplied by the inverse temperature.
        second: Embeddings of the other modality, in the same order.
        tile: Rows and columns of the logits that are computed at once; None takes what suits the device.
        counted: Samples that take part; the others neither search nor are found. A mask and not a choice of rows, whose
            number the host would have to wait for. None takes all.

    Returns:
        The sum in fp32, or in fp64 for fp64.
    """
    wide = torch.promote_types(first.dtype, torch.float32)
    side = tile or TILES.get(first.device.type, WIDE_TILE)
    loss: Tensor = _InfoNCE.apply(first.to(wide), second.to(wide), side, counted)
    return loss


class _InfoNCE(torch.autograd.Function):
    """Two passes over the tiles of the logits; neither keeps one."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, tile: int, counted: Tensor | None) -> Tensor:
        """Streams the log-sum-exp of all rows and columns."""
        rows = first.new_full((len(first),), -torch.inf)
        columns = torch.full_like(rows, -torch.inf)
        for down in _slices(len(first), tile):
            for across in _slices(len(second), tile):
                logits = _logits(first, second, counted, down, across)
                rows[down] = torch.logaddexp(rows[down], logits.logsumexp(1))
                columns[across] = torch.logaddexp(columns[across], logits.logsumexp(0))
        losses = 0.5 * (rows + columns) - (first * second).sum(1)
        if counted is not None:
            losses = losses.masked_fill(~counted, 0)
            # Nothing is found in a row that does not count: its softmax is 0 instead of 0 / 0.
            rows, columns = (each.masked_fill(~counted, torch.inf) for each in (rows, columns))
        ctx.save_for_backward(first, second, rows, columns, counted)
        ctx.tile = tile
        return losses.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Sends (softmax of the row + softmax of the column) / 2 - identity through each tile."""
        first, second, rows, columns, counted = ctx.saved_tensors
        to_first, to_second = -second, -first
        if counted is not None:
            for each in (to_first, to_second):
                each.masked_fill_(~counted[:, None], 0)
        for down in _slices(len(first), ctx.tile):
            for across in _slices(len(second), ctx.tile):
                logits = _logits(first, second, counted, down, across)
                share = (logits - rows[down, None]).exp_()
                share += logits.sub_(columns[None, across]).exp_()
                to_first[down].addmm_(share, second[across], alpha=0.5)
                to_second[across].addmm_(share.T, first[down], alpha=0.5)
        return to_first.mul_(slope), to_second.mul_(slope), None, None


def _logits(first: Tensor, second: Tensor, counted: Tensor | None, down: slice, across: slice) -> Tensor:
    """Returns a tile of the logits, -inf where one of the two samples does not count."""
    logits = first[down] @ second[across].T
    if counted is not None:
        logits.masked_fill_(~counted[down, None], -torch.inf).masked_fill_(~counted[across], -torch.inf)
    return logits


def _slices(count: int, tile: int) -> list[slice]:
    return [slice(start, start + tile) for start in range(0, count, tile)]
