"""InfoNCE: aligns two modalities, sample by sample."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.nn.contrastive.pair_sums import Relation, in_fp32, pair_sums


def info_nce(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    tile: int | None = None,
    counted: Bool[Tensor, " sample"] | None = None,
) -> Float[Tensor, ""]:
    """Computes the symmetric InfoNCE loss (CLIP, Radford et al., arXiv:2103.00020, Fig. 3), summed over samples.

    Row i of the logits ``first @ second.T`` classifies sample i of ``first`` among all samples of ``second``; column i
    does the reverse. The right class is on the diagonal. The loss of a sample is the mean of both cross-entropies, in
    nats. The caller multiplies ``first`` by the inverse temperature.

    Args:
        first: Embeddings of one modality, multiplied by the inverse temperature.
        second: Embeddings of the other modality, in the same order.
        tile: Rows and columns of the logits that are computed at once; None takes the default of the device.
        counted: Mask of the samples that take part; the others are neither anchors nor candidates. Selecting rows would
            make the host wait for their number. None takes all.

    Returns:
        The sum, in fp64 for fp64 rows, else in fp32.
    """
    first, second = in_fp32(first, counted), in_fp32(second, counted)
    relation = Relation(
        paired=True, present_anchors=counted, present_candidates=counted, both_ways=True, tile=tile
    )
    sums = pair_sums(first, second, relation)
    losses = 0.5 * (sums.log_sums + sums.back_log_sums) - sums.pulls
    if counted is not None:
        losses = losses.masked_fill(~counted, 0)
    return losses.sum()
