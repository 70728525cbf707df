"""The contrastive loss on fixed pools of scenes, by which published pre-trainings were watched.

It depends on temperature and pool. So it is no objective, and a published number compares only if both agree. With a
learnable temperature the first published pre-training fell from .51 to .16. Logits (cosine + 1) / 2 without a
temperature give at least log(e + 31) - 1 = 2.52, and log 32 = 3.47 by chance; the second one reached 3.18.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.nn.contrastive.info_nce import info_nce
from trainables.rgb_lidar.evaluation.retrieval import ROWS

POOL = 32
"""Number of scenes among which the loss tells one; part of the metric's name."""

SCALE = "inverse_temperature"
"""Name of the factor on cosines among the outputs of a model, the same for each scene."""

METRIC = Metric(
    name=f"contrastive_loss_{POOL}",
    mode="min",
    unit="nat",
    search_invariant=False,  # a temperature that is searched or learnt changes it
    meaning=f"contrastive loss at the model's own temperature, over pools of {POOL} consecutive scenes; log {POOL} = "
    f"{math.log(POOL):.3f} if embeddings tell nothing",
)


def pooled_loss(
    images: Float[Tensor, "scene dim"],
    scans: Float[Tensor, "scene dim"],
    inverse_temperatures: Float[Tensor, " scene"],
) -> float:
    """Computes the mean of the symmetric contrastive loss over pools of consecutive scenes, in nats.

    Args:
        images: Embeddings of the images of a split, of length 1, in its fixed order.
        scans: Embeddings of the scans of the same scenes.
        inverse_temperatures: Factor on the cosines of each image.

    Returns:
        The loss; NaN if there are fewer scenes than a pool. Scenes that do not fill a last pool are left out.
    """
    count = len(images) // POOL * POOL
    if not count:
        return math.nan
    scaled = inverse_temperatures.double()[:, None] * images.double()
    pools = zip(torch.split(scaled[:count], POOL), torch.split(scans.double()[:count], POOL), strict=True)
    return sum(float(info_nce(ours, theirs)) for ours, theirs in pools) / count


class PooledLoss(Measure):
    """Measure of the contrastive loss on fixed pools; keeps the rows of a whole split."""

    metrics = (METRIC,)
    rows = frozenset({*ROWS, SCALE})

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Returns embeddings and temperatures of a batch; nothing if the outputs lack one, as those of baselines do."""
        return {name: outputs[name] for name in sorted(self.rows)} if self.rows <= outputs.keys() else {}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metric of a split."""
        return {METRIC.name: pooled_loss(*(state[name] for name in (*ROWS, SCALE)))}
