"""Losses of single samples, in fp32 whatever the model computes in."""

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mse(
    prediction: Float[Tensor, " batch *axes"],
    target: Float[Tensor, " batch *axes"],
    valid: Bool[Tensor, " batch *axes"],
) -> Float[Tensor, " batch"]:
    """Computes each sample's mean squared error over its valid elements; 0 for a sample that has none."""
    mask = valid.float()
    squared = (prediction.float() - target.float()).square() * mask
    return squared.flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)
