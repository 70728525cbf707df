"""How often the embedding of an image finds the scan of its scene, and the other way round."""

from thalweg.contract import Metric
from thalweg.nn.contrastive.retrieval import Retrieval

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

RETRIEVAL = Retrieval(METRIC, *ROWS, pool=POOL)
"""Measures it, of the outputs of a model or a baseline."""
