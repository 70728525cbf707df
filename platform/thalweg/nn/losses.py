"""Losses of single samples, computed in fp32 in any precision of the model."""

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


def patch_normalised_mse(
    prediction: Float[Tensor, " batch *patches value"],
    target: Float[Tensor, " batch *patches value"],
    valid: Bool[Tensor, " batch *patches value"],
    *,
    floor: float = 0.1,
) -> Float[Tensor, " batch"]:
    """Computes each sample's patch-normalised mean squared error, for models that predict values in data units.

    The squared error of a patch is that of its mean, plus that of the pattern around the mean divided by the variance
    of the target's pattern. The second term is MAE's loss on normalised pixels (arXiv:2111.06377, section 4.1). MAE
    itself leaves the mean out, so that its predictions cannot be compared with the data without knowing the hidden
    values.

    Args:
        prediction: Predicted values.
        target: True values.
        valid: Which values count.
        floor: Added in quadrature to the standard deviation of a pattern, so that flat patches do not dominate.
    """
    mask = valid.float()
    number = mask.sum(-1, keepdim=True).clamp(min=1)
    error = (prediction.float() - target.float()) * mask
    wanted = target.float() * mask
    offset = error.sum(-1, keepdim=True) / number
    pattern = (error - offset) * mask
    deviation = (wanted - wanted.sum(-1, keepdim=True) / number) * mask
    variance = deviation.square().sum(-1, keepdim=True) / number + floor**2
    squared = (offset.square() + pattern.square() / variance) * mask
    return squared.flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)
