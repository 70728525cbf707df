"""SupCon, the supervised contrastive loss: aligns the samples of a class."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from thalweg.nn.contrastive.pairs import Pairs, same
from thalweg.nn.contrastive.views import Contrast, as_rows, contrast


def supcon(
    views: Float[Tensor, "sample view dim"],
    labels: Int[Tensor, " sample"] | Int[Tensor, "sample view"],
    *,
    temperature: float = 1.0,
    ignored: int | None = None,
    anchor_views: int | None = None,
    log_weights: Pairs | None = None,
    present: Bool[Tensor, "sample view"] | None = None,
    tile: int | None = None,
) -> Contrast:
    """Computes the supervised contrastive loss (L_out of Khosla et al., arXiv:2004.11362, Eq. 2).

    Positives of a view are all other views of its class, including those of its own sample. A view without positives,
    the only one of its class in the global batch, does not count. The published code multiplies the loss by
    ``temperature / base_temperature``; here this factor is 1.

    Args:
        views: Embeddings of all views of a global batch, usually of length 1.
        labels: Class of each sample, or of each view by itself.
        temperature: Divides the products of the rows.
        ignored: Label of samples or views that are neither anchors nor candidates; None ignores no sample.
        anchor_views: Number of views, the first ones, that are anchors: 1 is ``contrast_mode`` "one" of the published
            code, None is "all".
        log_weights: Logarithms of the weights of two samples of different class as negatives; None weighs all equally.
        present: Mask of the views that exist; None takes all.
        tile: Rows and columns of the logits that are computed at once; None takes the default of the device.

    Returns:
        The sum over views, and the number of views that have a positive in the global batch.
    """
    num_samples, num_views, _ = views.shape
    rows = as_rows(labels) if labels.dim() == 2 else labels.repeat(num_views)
    return contrast(
        as_rows(views),
        same(rows),
        temperature=temperature,
        log_weights=None if log_weights is None else log_weights.of_views(num_views),
        present=_taking_part(rows, ignored, present),
        num_anchors=None if anchor_views is None else anchor_views * num_samples,
        tile=tile,
    )


def _taking_part(
    rows: Int[Tensor, " row"], ignored: int | None, present: Tensor | None
) -> Bool[Tensor, " row"] | None:
    if ignored is None:
        return None if present is None else as_rows(present)
    labelled = rows != ignored
    return labelled if present is None else labelled & as_rows(present)
