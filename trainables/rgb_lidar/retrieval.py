"""How often the embedding of an image finds the scan of its scene, and the other way round.

The contrastive loss depends on temperature and batch size, so that it cannot compare trials that differ in them. This
can: it asks for the nearest among a fixed number of scenes, which are the same in every trial.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State

POOL = 100
"""Scenes among which one is searched."""

ROWS = ("rgb_embedding", "lidar_embedding")
"""Names under which an evaluation keeps the embeddings of all scenes."""

METRIC = Metric(
    name="retrieval_r1",
    mode="max",
    unit="1",
    search_invariant=True,
    meaning=f"share of scans found by their image, and of images by their scan, as the nearest of {POOL} scenes; "
    "a split with fewer, as a small data_fraction leaves for training, is one smaller pool, which is easier",
)

Embeddings = Float[Tensor, "scene dim"]


def recall_at_1(rgb: Embeddings, lidar: Embeddings, pool: int = POOL) -> float:
    """Computes the mean of both directions over pools of consecutive scenes.

    Scenes that do not fill a last pool are left out; fewer than one pool are one smaller pool. Of several equally near
    scenes the first one counts as found, so that embeddings that are all alike find 1 of a pool.

    Args:
        rgb: Embeddings of images, of length 1, in the fixed order of the split.
        lidar: Embeddings of the scans of the same scenes.
        pool: Scenes of a pool.
    """
    size = min(pool, len(rgb))
    count = len(rgb) // size
    own = torch.arange(size, device=rgb.device)
    shares = []
    pools = (torch.split(rows[: count * size], size) for rows in (rgb, lidar))
    for images, scans in zip(*pools, strict=True):
        cosines = images.double() @ scans.double().T
        shares += [(cosines.argmax(axis) == own).double().mean() for axis in (0, 1)]
    return float(torch.stack(shares).mean())


class Retrieval(Measure):
    """How often embeddings find each other; the state keeps those of all scenes."""

    metrics = (METRIC,)
    rows = frozenset(ROWS)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Keeps the embeddings; nothing for a predictor that has none."""
        return {name: outputs[name] for name in ROWS} if self.rows <= set(outputs) else {}

    def summarize(self, state: State) -> dict[str, float]:
        """Searches among the scenes of each pool."""
        rgb, lidar = (state[name] for name in ROWS)
        return {METRIC.name: recall_at_1(rgb, lidar)}
