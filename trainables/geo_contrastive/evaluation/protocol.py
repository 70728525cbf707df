"""What the metrics depend on besides weights and data."""

from collections.abc import Sequence
from typing import Any

from trainables.geo_contrastive.data.sampling import EVALUATION_MASK, EVALUATION_SEED
from trainables.geo_contrastive.evaluation import latents
from trainables.geo_contrastive.evaluation.similarity import SIGMA


def protocol(variables: Sequence[str]) -> dict[str, Any]:
    """Returns the masks, the cells that count, and the constants of metrics."""
    return {
        "variables": list(variables),
        "mask": {"share": EVALUATION_MASK, "seed": EVALUATION_SEED, "of": "each variable and cell by day"},
        "counted": "all cells with data, hidden or not, by area",
        "data_range": "largest minus smallest value of the training split, in its standard deviations",
        "ssim": {"sigma": SIGMA},
        "latents": {"positive_days": 1, "negative_days": latents.MIN_APART, "pool": latents.POOL},
    }
