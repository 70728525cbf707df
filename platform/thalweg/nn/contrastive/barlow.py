"""Barlow Twins: aligns two views without negatives, by driving their cross-correlation to the identity."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.nn.contrastive.pair_sums import without_autocast
from thalweg.nn.contrastive.views import Contrast

EPSILON = 1e-5
"""Added to the variance of a dimension, as BatchNorm does."""


def barlow(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    *,
    off_diagonal: float = 5e-3,
    counted: Bool[Tensor, " sample"] | None = None,
) -> Contrast:
    """Computes the loss of Barlow Twins (arXiv:2103.03230, Eqs. 1 and 2) of one global batch.

    Each dimension is standardised over the batch, with the variance that divides by the number of samples; the
    cross-correlation matrix C of both is computed over the same samples. The loss is
    ``sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2``. The batch must be the global one: the
    mean of the losses of its parts is a different number.

    Args:
        first: Projections of one view or modality, of any length.
        second: Projections of the other one, in the same order.
        off_diagonal: The lambda of the paper.
        counted: Mask of the samples that take part; None takes all.

    Returns:
        The loss times the number of samples, and this number. Both are 0 for fewer than two samples, which have no
        correlation.
    """
    wide = torch.promote_types(first.dtype, torch.float32)
    mask = first.new_ones(len(first), dtype=wide) if counted is None else counted.to(wide)
    count = mask.sum()
    with without_autocast(first.device):
        one, other = (_standardised(rows.to(wide), mask, count) for rows in (first, second))
        correlation = one.T @ other / count.clamp(min=1)
    diagonal = correlation.diagonal()
    redundancy = (correlation - torch.diag(diagonal)).square().sum()
    loss = (1 - diagonal).square().sum() + off_diagonal * redundancy
    count = count * (count >= 2)
    return Contrast(loss * count, count)


def _standardised(rows: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Returns rows of mean 0 and variance 1 over those that count; zero for the others."""
    there = mask[:, None] > 0
    number = count.clamp(min=1)
    mean = rows.masked_fill(~there, 0).sum(0) / number
    centred = (rows - mean).masked_fill(~there, 0)
    variance = centred.square().sum(0) / number
    return centred / (variance + EPSILON).sqrt()
