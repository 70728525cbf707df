"""Retrieval: how often the embedding of an image is nearest to that of its scan, and vice versa."""

from thalweg.contract import Metric
from thalweg.nn.contrastive.retrieval import Retrieval

POOL = 100
"""Number of scenes among which one is searched."""

ROWS = ("rgb_embedding", "lidar_embedding")
"""Names of the embeddings among the outputs of a model."""

METRIC = Metric(
    name="retrieval_r1",
    mode="max",
    unit="1",
    search_invariant=True,
    meaning=f"share of scans found by their image, and of images by their scan, as the nearest of {POOL} scenes; "
    "a split with fewer, as a small data_fraction leaves for training, is one smaller pool, which is easier",
)

ERROR = Metric(
    name="retrieval_r1_se",
    mode="min",
    unit="1",
    search_invariant=False,  # it says how sure retrieval_r1 is, and is no aim
    meaning="standard error of retrieval_r1, over the scenes that are searched, each in both directions",
)

RETRIEVAL = Retrieval(METRIC, *ROWS, pool=POOL, error=ERROR)
"""Measure of retrieval, from the outputs of a model or a baseline."""
