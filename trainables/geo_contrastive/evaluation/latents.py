"""Measures of latents: are days near in time near in the latent space, and is the space used?

None is invariant over a search: a latent may be of any width, length and curvature and tell the same.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor, nn

from thalweg.contract import Batch, Measure, Metric, Mode, Outputs, State
from thalweg.nn.contrastive.retrieval import Retrieval
from trainables.geo_contrastive.data.pairs import DayIndex

MIN_APART = 41
"""Days between two latents that are compared as negatives: farther than a hard negative."""
POOL = 100
"""Days among which the masked view of a day is searched."""
CLEAN, MASKED = "latent", "masked_latent"
"""Names of the latents of whole and of masked fields among the outputs."""

_ROWS = 512  # latents that are compared with all others at once

Latents = Float[Tensor, "day dim"]
Days = Int[Tensor, " day"]


def _metric(name: str, mode: Mode, meaning: str) -> Metric:
    return Metric(name=name, mode=mode, unit="1", search_invariant=False, meaning=meaning)


RETRIEVAL = Retrieval(
    _metric("latent_retrieval", "max", f"share of masked days nearest to their whole day among {POOL} days"),
    "latent_direction",
    "masked_latent_direction",
    pool=POOL,
)
"""Measure of how well masked fields are told apart."""


class LatentGeometry(Measure):
    """Measure of the latents of whole fields, over all days of a split."""

    metrics = (
        _metric("latent_positive_cosine", "max", "mean cosine of a day with the next one"),
        _metric("latent_negative_cosine", "min", f"mean cosine of days at least {MIN_APART} days apart"),
        _metric(
            "latent_variance",
            "max",
            "variance of latents at length 1, summed over coordinates; 0 if all are one, at most 1",
        ),
        _metric("latent_alignment", "min", "mean squared distance of a day from the next one, at length 1"),
        _metric(
            "latent_uniformity",
            "min",
            "log of the mean of exp(-2 d^2) over pairs at the distance d, at length 1",
        ),
        _metric(
            "latent_effective_rank",
            "max",
            "exp of the entropy of the covariance's normalised eigenvalues",
        ),
        _metric(
            "latent_curvature", "min", "mean |z(t+1) - 2 z(t) + z(t-1)|^2 / (6 variance); 1 for white noise"
        ),
    )
    rows = frozenset({CLEAN, "day"})

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Keeps latents and days; nothing if the outputs hold no latents."""
        return {CLEAN: outputs[CLEAN], "day": batch["day"]} if CLEAN in outputs else {}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics over all days."""
        return geometry(state[CLEAN], state["day"])


def geometry(latents: Latents, days: Days) -> dict[str, float]:
    """Computes the metrics of `LatentGeometry`; NaN where no two days are as far apart as a metric needs.

    Args:
        latents: Latents of days, in the order of time.
        days: Their days, ascending.
    """
    directions = nn.functional.normalize(latents.double(), dim=1)
    follows = days[1:] - days[:-1] == 1
    cosines = (directions[1:] * directions[:-1]).sum(1)[follows]
    negative, uniformity = _all_pairs(directions, days)
    return {
        "latent_positive_cosine": float(cosines.mean()),
        "latent_negative_cosine": negative,
        "latent_variance": float((directions - directions.mean(0)).square().sum(1).mean()),
        "latent_alignment": float((2 - 2 * cosines).mean()),
        "latent_uniformity": uniformity,
        "latent_effective_rank": effective_rank(latents),
        "latent_curvature": curvature(latents, days),
    }


def days_lacking(day: Int64[np.ndarray, " day"], split: str) -> dict[str, str]:
    """Returns the metrics of `geometry` for which a split holds no two or three days, and why.

    Args:
        day: Numbers of the days of the split, ascending.
        split: Its name.
    """
    longest, span = DayIndex.of(day).reach, int(day[-1] - day[0])
    found: dict[str, str] = {}
    if longest < 1:
        found |= dict.fromkeys(
            ("latent_positive_cosine", "latent_alignment"), f"no two days of {split} follow one another"
        )
    if span < MIN_APART:
        found["latent_negative_cosine"] = f"no two days of {split} are {MIN_APART} apart"
    if longest < 2:
        found["latent_curvature"] = f"no three days of {split} follow one another"
    return found


def effective_rank(latents: Latents) -> float:
    """Returns exp of the entropy of the covariance's eigenvalues (after Roy & Vetterli 2007).

    It is NaN for equal rows and for such as are not finite.
    """
    centred = latents.double() - latents.double().mean(0)
    if not centred.isfinite().all():
        return math.nan
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    if not values.sum() > 0:
        return math.nan
    shares = values / values.sum()
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))


def curvature(latents: Latents, days: Days) -> float:
    """Returns the mean square of second differences over what white noise of the same variance has."""
    wide = latents.double()
    inner = (days[2:] - days[:-2] == 2) & (days[1:-1] - days[:-2] == 1)
    second = (wide[2:] - 2 * wide[1:-1] + wide[:-2])[inner]
    variance = (wide - wide.mean(0)).square().mean(0).sum()
    return float(second.square().sum(1).mean() / (6 * variance))


def _all_pairs(directions: Float64[Tensor, "day dim"], days: Days) -> tuple[float, float]:
    """Returns the mean cosine of days far apart, and the uniformity (arXiv:2005.10242) over all pairs of days."""
    cosine, number, potential = (directions.new_zeros(()) for _ in range(3))
    for first in range(0, len(days), _ROWS):
        rows = slice(first, first + _ROWS)
        cosines = directions[rows] @ directions.T
        apart = (days[rows, None] - days).abs()
        far = apart >= MIN_APART
        cosine += cosines[far].sum()
        number += far.sum()
        potential += torch.exp(-2 * (2 - 2 * cosines))[apart > 0].sum()
    pairs = len(days) * (len(days) - 1)
    uniformity = math.log(float(potential) / pairs) if pairs else math.nan
    return float(cosine / number), uniformity
