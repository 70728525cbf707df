"""NT-Xent: aligns the views of a sample, without labels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.nn.contrastive.pairs import Pairs, same
from thalweg.nn.contrastive.views import Contrast, as_rows, contrast


def nt_xent(
    views: Float[Tensor, "sample view dim"],
    *,
    temperature: float = 1.0,
    log_weights: Pairs | None = None,
    present: Bool[Tensor, "sample view"] | None = None,
    tile: int | None = None,
) -> Contrast:
    """Computes NT-Xent (SimCLR, arXiv:2002.05709, Eq. 1): each view identifies the other views of its sample.

    With more than two views, the loss of a view is the mean over its positives (arXiv:2004.11362, Eq. 2, where each
    sample is a class).

    Args:
        views: Embeddings of all views of a global batch, usually of length 1.
        temperature: Divides the products of the rows.
        log_weights: Logarithms of the weights of two samples as negatives of each other, such as `pairs.by_distance` of
            their times (weighted NT-Xent); None weighs all equally.
        present: Mask of the views that exist; None takes all.
        tile: Rows and columns of the logits that are computed at once; None takes the default of the device.

    Returns:
        The sum over views, and the number of views that have another one.
    """
    num_samples, num_views, _ = views.shape
    return contrast(
        as_rows(views),
        same(torch.arange(num_samples, device=views.device)).of_views(num_views),
        temperature=temperature,
        log_weights=None if log_weights is None else log_weights.of_views(num_views),
        present=None if present is None else as_rows(present),
        tile=tile,
    )
