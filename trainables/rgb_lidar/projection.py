"""What a projection loses, and how far it is from its target."""

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from trainables.rgb_lidar.chain_knobs import ProjectionLoss

METRIC = Metric(
    name="projection_error",
    mode="min",
    unit="1",
    search_invariant=False,  # the target is a layer that a search may change, of a classifier that the trial trained
    meaning="mean squared error of the projection over the variance of its target; 1 for the mean of the targets",
)

Vectors = Float[Tensor, "batch dim"]


def projection_losses(projection: Vectors, target: Vectors, kind: ProjectionLoss) -> Float[Tensor, " batch"]:
    """Computes the loss of each scene; squared error and smooth L1 are means over the target's values."""
    if kind == "cosine":
        return 1 - nn.functional.cosine_similarity(projection, target, dim=1)
    if kind == "smooth_l1":
        return nn.functional.smooth_l1_loss(projection, target, reduction="none").mean(1)
    return (projection - target).square().mean(1)


def add_up(projection: Vectors, target: Vectors) -> dict[str, Tensor]:
    """Computes the sums of a batch from which `projection_error` follows, in fp64."""
    projection, target = projection.double(), target.double()
    return {
        "projection_squares": (projection - target).square().sum(),
        "target_squares": target.square().sum(),
        "target_sum": target.sum(0),
        "target_count": target.new_tensor(len(target)),
    }


def projection_error(sums: Mapping[str, Tensor]) -> float:
    """Computes the mean squared error over the target's variance around its mean; NaN for a target that is constant."""
    squares = float(sums["target_squares"])
    variance = squares - float(sums["target_sum"].square().sum() / sums["target_count"])
    if variance <= 1e-12 * squares:  # what rounding leaves of 0
        return math.nan
    return float(sums["projection_squares"]) / variance


class ProjectionError(Measure):
    """How far projections are from their targets."""

    metrics = (METRIC,)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squares; nothing for a predictor that projects nothing."""
        return add_up(outputs["projection"], outputs["target"]) if "projection" in outputs else {}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the normalised error."""
        return {METRIC.name: projection_error(state)}
