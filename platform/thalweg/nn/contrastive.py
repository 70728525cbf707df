"""Contrastive loss in tiles: memory that grows with the number of samples, not with its square."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

TILES = {"cpu": 512}
"""Rows and columns of a tile by device: 1 MiB in fp32 stays in the cache of a core while it is worked on."""
WIDE_TILE = 4096
"""The same for all other devices, which need more work at once: 64 MiB in fp32."""


def info_nce(
    first: Float[Tensor, "sample dim"], second: Float[Tensor, "sample dim"], tile: int | None = None
) -> Float[Tensor, ""]:
    """Computes the symmetric InfoNCE loss (CLIP, Radford et al., arXiv:2103.00020, Fig. 3), summed over samples.

    Row i of the logits ``first @ second.T`` is the search of sample i of ``first`` among all of ``second``, column i
    the other way round; the right answer is on the diagonal. The loss of a sample is the mean of both
    cross-entropies, in nats. A temperature belongs into the rows of ``first``.

    Args:
        first: Embeddings of one modality, multiplied by the inverse temperature.
        second: Embeddings of the other modality, in the same order.
        tile: Rows and columns of the logits that are computed at once; None takes what suits the device.

    Returns:
        The sum in fp32, or in fp64 for fp64.
    """
    wide = torch.promote_types(first.dtype, torch.float32)
    side = tile or TILES.get(first.device.type, WIDE_TILE)
    loss: Tensor = _InfoNCE.apply(first.to(wide), second.to(wide), side)
    return loss


class _InfoNCE(torch.autograd.Function):
    """Two passes over the tiles of the logits; neither keeps one."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, tile: int) -> Tensor:
        """Streams the log-sum-exp of all rows and columns."""
        rows = first.new_full((len(first),), -torch.inf)
        columns = torch.full_like(rows, -torch.inf)
        for down in _slices(len(first), tile):
            for across in _slices(len(second), tile):
                logits = first[down] @ second[across].T
                rows[down] = torch.logaddexp(rows[down], logits.logsumexp(1))
                columns[across] = torch.logaddexp(columns[across], logits.logsumexp(0))
        matched = (first * second).sum(1)
        ctx.save_for_backward(first, second, rows, columns)
        ctx.tile = tile
        return (0.5 * (rows + columns) - matched).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        """Sends (softmax of the row + softmax of the column) / 2 - identity through each tile."""
        first, second, rows, columns = ctx.saved_tensors
        to_first, to_second = -second, -first
        for down in _slices(len(first), ctx.tile):
            for across in _slices(len(second), ctx.tile):
                logits = first[down] @ second[across].T
                share = (logits - rows[down, None]).exp_()
                share += logits.sub_(columns[None, across]).exp_()
                to_first[down].addmm_(share, second[across], alpha=0.5)
                to_second[across].addmm_(share.T, first[down], alpha=0.5)
        return to_first.mul_(slope), to_second.mul_(slope), None


def _slices(count: int, tile: int) -> list[slice]:
    return [slice(start, start + tile) for start in range(0, count, tile)]
