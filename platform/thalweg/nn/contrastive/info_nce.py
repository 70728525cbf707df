"""Agreement of two modalities, sample by sample."""

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
    first, second = in_fp32(first, counted), in_fp32(second, counted)
    relation = Relation(
        paired=True, present_anchors=counted, present_candidates=counted, both_ways=True, tile=tile
    )
    sums = pair_sums(first, second, relation)
    losses = 0.5 * (sums.log_sums + sums.back_log_sums) - sums.pulls
    if counted is not None:
        losses = losses.masked_fill(~counted, 0)
    return losses.sum()
