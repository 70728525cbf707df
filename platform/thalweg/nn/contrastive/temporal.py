"""NT-Xent of views that lie apart in time: near positives pull harder, near negatives may push less."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.nn.contrastive.pairs import Pairs, by_distance
from thalweg.nn.contrastive.views import Contrast, as_rows, contrast

_LEAST = 1e-30  # weight of a positive however far away: one of 0 would be a negative


def temporal_nt_xent(
    views: Float[Tensor, "sample view dim"],
    times: Int64[Tensor, "sample view"],
    *,
    num_positives: int,
    temperature: float = 1.0,
    decay: float = 0.0,
    weigh_negatives: bool = False,
    present: Bool[Tensor, "sample view"] | None = None,
    tile: int | None = None,
) -> Contrast:
    """Computes NT-Xent, in which a view identifies the views of its sample that lie at other times.

    The loss of a pair is ``-log(exp(l_ij) / sum_k w_ik exp(l_ik))`` with the logits ``l_ij = z_i @ z_j / temperature``
    and k over all other rows. A pair of positives counts its weight ``exp(-decay * |t_i - t_j|)``; the loss is the
    weighted mean over all pairs of positives. w is 1 for positives, and for negatives 1 or ``1 - exp(-decay *
    |t_i - t_j|)``: weather of nearly the same time is no other weather.

    Args:
        views: Embeddings of all views of a global batch, usually of length 1.
        times: Time of each view; of an absent one anything.
        num_positives: Number of views, the first ones, that are positives of one another and anchors. The others are
            negatives of all anchors, those of their own sample too, and never anchors.
        temperature: Divides the products of the rows.
        decay: Per unit of time; must be above 0 if ``weigh_negatives``.
        weigh_negatives: Whether negatives weigh less the nearer they are; one of the same time does not count.
        present: Mask of the views that exist; None takes all.
        tile: Rows and columns of the logits that are computed at once; None takes the default of the device.

    Returns:
        The weighted sum over pairs of positives, and their weight.
    """
    num_samples, num_views, _ = views.shape
    samples = torch.arange(num_samples, device=views.device)[:, None].repeat(1, num_views)
    samples[:, num_positives:] = -1
    rows = as_rows(torch.stack([samples, times], dim=2))
    log_weights = by_distance(rows[:, 1], lambda gap: torch.log(-torch.expm1(-decay * gap.float())))
    return contrast(
        as_rows(views),
        _positives(rows, decay),
        temperature=temperature,
        log_weights=log_weights if weigh_negatives else None,
        present=None if present is None else as_rows(present),
        num_anchors=num_positives * num_samples,
        over="pairs",
        tile=tile,
    )


def _positives(rows: Int64[Tensor, "row 2"], decay: float) -> Pairs:
    """Returns the weights of the pairs of one sample, from the sample and the time of each row."""

    def weigh(anchors: Tensor, candidates: Tensor) -> Tensor:
        together = anchors[..., 0] == candidates[..., 0]
        gap = (anchors[..., 1] - candidates[..., 1]).abs().float()
        return torch.exp(-decay * gap).clamp(min=_LEAST) * together

    return Pairs(values=rows, weigh=weigh)
