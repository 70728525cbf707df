"""Calibration: whether a probability is how often what it says is true.

The expected calibration error (Naeini et al., AAAI 2015; Guo et al., arXiv:1706.04599, Eq. 3): probabilities are put
into bins of equal width, and the distance of their mean from the share that is true is averaged over bins, weighted by
how many there are. Of one class that is the probability of the class that is called; of several, that of each class.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.per_unit import PerUnit
from trainables.sentinel_supcon.knobs import DataKnobs
from trainables.sentinel_supcon.model.scene_model import LOGITS
from trainables.sentinel_supcon.model.targets import Target

NUM_BINS = 15
"""Bins of equal width, each open below and closed above."""
_BINS = "calibration_bins"


class Calibration(Measure):
    """The expected calibration error.

    Args:
        knobs: Classes and target.

    Attributes:
        metrics: ``calibration_error``.
    """

    units = ("place",)

    metrics = (
        Metric(
            name="calibration_error",
            mode="min",
            unit="1",
            search_invariant=True,
            meaning=f"mean distance of a probability from how often it is right, over {NUM_BINS} bins of equal width",
        ),
    )

    def __init__(self, knobs: DataKnobs) -> None:
        self._target = Target(knobs)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums number, probability and truth in each bin, by place."""
        if LOGITS not in outputs:
            return {}
        chances, there = self._target.chances(outputs[LOGITS]), self._target.there(batch)
        if not self._target.is_multi:
            called = chances.argmax(1, keepdim=True)
            chances, there = chances.gather(1, called), there.gather(1, called)
        sums = binned(chances, there) * self._target.counted(batch)[:, None, None]
        return {_BINS: PerUnit.of(batch["place"][:, None], sums)}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the error of a split."""
        if _BINS not in state:
            return {}
        return {"calibration_error": calibration_error(state[_BINS].total())}


def binned(chances: Float64[Tensor, "batch decision"], true: Tensor) -> Float64[Tensor, "batch bin sum"]:
    """Returns the number, the summed probability and the summed truth of each sample's decisions in each bin."""
    bins = (chances * NUM_BINS).ceil().long().sub(1).clamp(0, NUM_BINS - 1)
    one_hot = torch.nn.functional.one_hot(bins, NUM_BINS).double()
    values = torch.stack((torch.ones_like(chances), chances, true.double()), dim=2)
    return torch.einsum("bdn,bds->bns", one_hot, values)


def calibration_error(sums: Float64[Tensor, "bin sum"]) -> float:
    """Returns the error that summed bins amount to; NaN without decisions."""
    counts, chances, true = sums.unbind(1)
    return float((chances - true).abs().sum() / counts.sum())
