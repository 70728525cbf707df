"""Are samples of latents like real ones? Density and realism by nearest neighbours in the standardised latent space.

Neither is invariant over a search: latents of another encoder lie in another space.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from trainables.geo_contrastive.evaluation.subset import SCORED

NUM_NEIGHBOURS = 5
REAL, SAMPLE = "standard_latent", "sampled_latent"
"""Names among the outputs of the standardised latents of whole fields and of a sample each, of any value where the day
is not scored."""

Real = Float[Tensor, "day latent"]
Samples = Float[Tensor, "sample latent"]


def _metric(name: str, meaning: str) -> Metric:
    return Metric(name=name, mode="max", unit="1", search_invariant=False, meaning=meaning)


class SampleRealism(Measure):
    """Measure of sampled latents beside all real ones of the split."""

    metrics = (
        _metric(
            "sample_density",
            "number of real latents that are near a sample over that near a real one; 1 is right",
        ),
        _metric("sample_realism", "mean realism of samples; at least 1 lies among the real latents"),
    )
    rows = frozenset({REAL, SAMPLE, SCORED})

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Keeps the latents and which days are scored; nothing if the outputs hold no latents."""
        if SAMPLE not in outputs:
            return {}
        return {REAL: outputs[REAL], SAMPLE: outputs[SAMPLE], SCORED: batch[SCORED]}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes both metrics; NaN with too few days."""
        density, realism = density_and_realism(state[REAL], state[SAMPLE][state[SCORED]])
        return {"sample_density": density, "sample_realism": realism}


def density_and_realism(real: Real, samples: Samples) -> tuple[float, float]:
    """Returns density (Naeem et al., arXiv:2002.09797, Eq. 4) and mean realism (arXiv:1904.06991, Eq. 5).

    The ball around a real latent reaches to its fifth nearest neighbour. The density of a sample is the number of balls
    that hold it over five. Its realism is the largest ratio of a ball's radius to its distance from the centre, over
    the half of the balls that are smaller, as published. Both are NaN if a latent is not finite.
    """
    finite = bool(real.isfinite().all() and samples.isfinite().all())
    if not finite or len(real) <= NUM_NEIGHBOURS or not len(samples):
        return math.nan, math.nan
    real, samples = real.double(), samples.double()
    # The nearest of all is the latent itself.
    radii = _distances(real, real).kthvalue(NUM_NEIGHBOURS + 1, dim=1).values
    distances = _distances(samples, real)
    density = (distances < radii).double().sum(1).mean() / NUM_NEIGHBOURS
    small = radii <= radii.median()
    realism = (radii[small] / distances[:, small]).amax(1).mean()
    return float(density), float(realism)


def _distances(one: Samples, other: Real) -> Float[Tensor, "sample day"]:
    # By differences: the identity |a|^2 + |b|^2 - 2 a b would leave a latent a distance from itself.
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
