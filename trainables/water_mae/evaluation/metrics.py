"""What predicted river flow is measured by: sums over hidden values, and the NSE and KGE that they give.

Sums of batches and workers add up, so that a metric never depends on how a split was cut. They are in float64.
River flow is measured once more in mm/day, catchment by catchment, as hydrologists do, of predictions that were made
means in mm/day; NSE and KGE do not change with the area by which a flow in m3/s is divided.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Float64, Int, Shaped
from torch import Tensor

from thalweg.per_unit import PerUnit

FLOW_FLOOR = 1e-6
"""mm/day that was added to river flow before its logarithm, so that a dry day stays finite."""
MAX_FLOW = 1e4
"""mm/day beyond which a predicted flow does not count: ten times any record, and its square stays a number."""
POOLED_DAYS = 10
"""Days for which the factor of all catchments counts beside the own one of a catchment."""

_ROUNDING = 1e-12  # of a sum of squares

MOMENTS = ("count", "seen", "seen_square", "given", "given_square", "product")


def named(sums: Shaped[Tensor, "*unit term"], names: tuple[str, ...]) -> dict[str, Tensor]:
    """Returns each term of sums by its name, such as `MOMENTS`."""
    return dict(zip(names, sums.unbind(-1), strict=True))


def river_flow(
    normalised: Float[Tensor, " batch *axes"], scale: Float64[Tensor, "batch 2"]
) -> Float64[Tensor, " batch *axes"]:
    """Returns the flow in mm/day that a normalised logarithm stands for, from 0 to `MAX_FLOW`.

    Args:
        normalised: (log(flow + `FLOW_FLOOR`) - mean) / std.
        scale: Mean and std.
    """
    mean, std = (scale[:, number].reshape(-1, *(1 for _ in normalised.shape[1:])) for number in (0, 1))
    flow = torch.exp(normalised.double() * std + mean) - FLOW_FLOOR
    # NaN stays NaN, so that a broken model cannot pass.
    return flow.clamp(0.0, MAX_FLOW)


def flow_moments(
    prediction: Float64[Tensor, "batch step masked member"],
    target: Float64[Tensor, "batch step masked member"],
    counts: Bool[Tensor, "batch step masked member"],
) -> Float64[Tensor, "batch step masked member 6"]:
    """Returns the `MOMENTS` of seen and given flow of each day; 0 for one that does not count.

    Args:
        prediction: Flow that a model gave.
        target: Flow that was seen.
        counts: What counts.
    """
    zero = target.new_zeros(())
    seen, given = torch.where(counts, target, zero), torch.where(counts, prediction, zero)
    return torch.stack([counts.double(), seen, seen.square(), given, given.square(), seen * given], dim=-1)


def by_place_and_year(
    terms: Float64[Tensor, "batch step masked value term"],
    patches: Int[Tensor, "batch step masked"],
    num_patches: int,
    years: Int[Tensor, "batch step"],
) -> PerUnit:
    """Sums over the days of each year at each place.

    Each hidden patch is put in its place and the places are summed, which gives the same bits in every run on a GPU as
    well; adding each where it belongs would not.

    Args:
        terms: `squared_error_terms` or `flow_moments`.
        patches: Patch of each value; none twice on a day.
        num_patches: Number of patches.
        years: Year of each step.

    Returns:
        Sums (unit, term) by (place, year): a place is a value of a patch, ``patch * values + value``.
    """
    *_, num_values, num_terms = terms.shape
    placed = terms.new_zeros(*years.shape, num_patches, num_values, num_terms)
    placed.scatter_(2, patches[..., None, None].expand_as(terms), terms)
    places = torch.arange(num_patches * num_values, device=terms.device)
    tables = [
        PerUnit(
            torch.stack([places, torch.full_like(places, year)], dim=1),
            placed[years == year].sum(0).flatten(0, 1),
        )
        for year in torch.unique(years).tolist()
    ]
    return PerUnit.joined(tables)


def mean_factor(training: Mapping[str, Tensor]) -> Float64[Tensor, " *catchment"]:
    """Returns by what predicted flow of each catchment is multiplied, so that it is a mean in mm/day.

    The exponential of a mean logarithm is below the mean: by exp(variance / 2) where what a model leaves is normal. The
    factor is the ratio of seen to given flow, summed over hidden days of the training split, and so keeps the water
    there. Few days of a catchment say little, so the factor of all catchments counts as `POOLED_DAYS` more of them.

    Source: the ratio estimator of Snowdon (1991), doi:10.1139/x91-101, in the place of the smearing estimate of Duan
    (1983), doi:10.1080/01621459.1983.10478017, a mean of ratios that a few low flows govern.

    Args:
        training: `MOMENTS` of each catchment in the training split.
    """
    count, seen, given = (training[name] for name in ("count", "seen", "given"))
    pooled = _ratio(seen.sum(), given.sum(), torch.ones_like(seen.sum()))
    own = _ratio(seen, given, pooled.expand_as(seen))
    return (count * own + POOLED_DAYS * pooled) / (count + POOLED_DAYS)


def _ratio(seen: Tensor, given: Tensor, otherwise: Tensor) -> Tensor:
    """Divides where both are positive."""
    known = (seen > 0) & (given > 0)
    return torch.where(known, seen / torch.where(known, given, 1.0), otherwise)


def scaled(sums: Mapping[str, Tensor], factor: Float64[Tensor, " *catchment"]) -> dict[str, Tensor]:
    """Returns the moments of given flow times a factor."""
    powers = {"given": 1, "given_square": 2, "product": 1}
    return {name: value * factor ** powers.get(name, 0) for name, value in sums.items()}


def nse(sums: Mapping[str, Tensor]) -> Float64[Tensor, " catchment"]:
    """Nash-Sutcliffe efficiency of the catchments in which flows were seen that differ.

    Source: Nash & Sutcliffe (1970), doi:10.1016/0022-1694(70)90255-6, Eq. 3.
    """
    count, seen, seen_square, _, given_square, product = _varying(sums)
    error = seen_square - 2 * product + given_square
    return 1 - error / (seen_square - seen.square() / count)


def kge(sums: Mapping[str, Tensor]) -> Float64[Tensor, " catchment"]:
    """Kling-Gupta efficiency of the catchments in which flows were seen that differ.

    A constant prediction has correlation 0 here, for it follows nothing.

    Source: Gupta et al. (2009), doi:10.1016/j.jhydrol.2009.08.003, Eqs. 9 and 10.
    """
    count, seen, seen_square, given, given_square, product = _varying(sums)
    spread = seen_square - seen.square() / count
    given_spread = (given_square - given.square() / count).clamp(min=0)
    constant = given_spread <= _ROUNDING * given_square
    covariance = product - seen * given / count
    correlation = torch.where(constant, 0.0, covariance / torch.sqrt(spread * given_spread))
    variability, bias = torch.sqrt(given_spread / spread), given / seen
    return 1 - torch.sqrt((correlation - 1).square() + (variability - 1).square() + (bias - 1).square())


def median(values: Float64[Tensor, " catchment"]) -> float:
    """Returns the median, the mean of the middle two; NaN if there are no values or one of them is NaN."""
    return float(values.quantile(0.5)) if len(values) else float("nan")


def _varying(sums: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Returns the moments of the catchments whose seen flows differ by more than the rounding of their sums."""
    count, seen, square = (sums[name] for name in MOMENTS[:3])
    varies = (count >= 2) & (square - seen.square() / count.clamp(min=1) > _ROUNDING * square)
    return tuple(sums[name][varies] for name in MOMENTS)
