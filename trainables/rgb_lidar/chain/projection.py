"""Losses of the projector, and the measure of its error."""

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Metric
from thalweg.nn.measures.normalised_error import NormalisedError
from trainables.rgb_lidar.chain.knobs import ProjectionLoss

METRIC = Metric(
    name="projection_error",
    mode="min",
    unit="1",
    search_invariant=False,  # the target is a layer that a search may change, of a classifier that the trial trained
    meaning="mean squared error of the projection over the variance of its target; 1 for the mean of the targets",
)

PROJECTION_ERROR = NormalisedError(METRIC, prediction="projection", target="target")
"""Measure of the projection error, from the outputs of a model."""

Vectors = Float[Tensor, "batch dim"]


def projection_losses(projection: Vectors, target: Vectors, kind: ProjectionLoss) -> Float[Tensor, " batch"]:
    """Computes the loss of each scene; squared error and smooth L1 are means over the values of the target."""
    if kind == "cosine":
        return 1 - nn.functional.cosine_similarity(projection, target, dim=1)
    if kind == "smooth_l1":
        return nn.functional.smooth_l1_loss(projection, target, reduction="none").mean(1)
    return (projection - target).square().mean(1)
