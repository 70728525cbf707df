"""Metrics of series such as river flow: sums over hidden values, and NSE and KGE computed from them.

Sums are in float64 and add up over batches and workers, so that a metric never depends on how a split was cut into
batches. NSE and KGE are computed in the unit of the data (mm/day), catchment by catchment, as in hydrology, after
predictions of log flow were corrected to means in mm/day (`mean_factor`). They do not depend on the area by which a
flow in m3/s is divided.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Float64, Int, Shaped
from torch import Tensor

from thalweg.per_unit import PerUnit
from trainables.water_mae.knobs import Modality

MAX_FACTOR = 2.0
"""Exponentials are clipped to this multiple of the largest plausible value, so that squares stay finite.

For river flow that is 10,000 mm/day, ten times any record.
"""
POOLED_DAYS = 10
"""Number of days by which the factor of all catchments is weighted beside that of a catchment; see `mean_factor`."""

_ROUNDING = 1e-12  # of a sum of squares

MOMENTS = ("count", "seen", "seen_square", "given", "given_square", "product")


def named(sums: Shaped[Tensor, "*unit term"], names: tuple[str, ...]) -> dict[str, Tensor]:
    """Returns the terms of sums by their names, such as `MOMENTS`."""
    return dict(zip(names, sums.unbind(-1), strict=True))


def largest(row: Modality) -> float:
    """Returns the value to which exponentials are clipped."""
    return MAX_FACTOR * row.bounds[0].high


def physical(
    normalised: Float[Tensor, " batch *axes"], scale: Float64[Tensor, "batch 2"], row: Modality
) -> Float64[Tensor, " batch *axes"]:
    """Converts normalised values to the unit of the data; exponentials are clipped to 0 to `largest`.

    Args:
        normalised: (value - mean) / std, with the transform log (log(value + floor) - mean) / std.
        scale: Mean and std.
        row: The modality.
    """
    mean, std = (scale[:, number].reshape(-1, *(1 for _ in normalised.shape[1:])) for number in (0, 1))
    values = normalised.double() * std + mean
    if row.transform == "none":
        return values
    # NaN stays NaN, so that a broken model cannot pass.
    return (torch.exp(values) - row.floor).clamp(0.0, largest(row))


def flow_moments(
    prediction: Float64[Tensor, "batch step masked member"],
    target: Float64[Tensor, "batch step masked member"],
    counts: Bool[Tensor, "batch step masked member"],
) -> Float64[Tensor, "batch step masked member 6"]:
    """Returns the `MOMENTS` of observed (seen) and predicted (given) flow of each day; 0 for days that do not count.

    Args:
        prediction: Predicted flow.
        target: Observed flow.
        counts: Mask of the values that count.
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

    Hidden patches are scattered to their places, one per day, and then summed over days. This gives the same bits in
    every run on a GPU, which scattered additions would not.

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
    """Returns the retransformation factor of each catchment, which corrects predicted flow to a mean in mm/day.

    The exponential of a mean logarithm is below the mean, by exp(variance / 2) for normal residuals. The factor is the
    ratio of observed to predicted flow, both summed over hidden days of the training split, which preserves the total
    flow there. Few days of a catchment say little, so the factor of all catchments counts like `POOLED_DAYS` more days.

    Source: the ratio estimator of Snowdon (1991), doi:10.1139/x91-101. The smearing estimate of Duan (1983),
    doi:10.1080/01621459.1983.10478017, is a mean of ratios that a few low flows dominate.

    Args:
        training: `MOMENTS` of each catchment in the training split.
    """
    count, seen, given = (training[name] for name in ("count", "seen", "given"))
    pooled = _ratio(seen.sum(), given.sum(), torch.ones_like(seen.sum()))
    own = _ratio(seen, given, pooled.expand_as(seen))
    return (count * own + POOLED_DAYS * pooled) / (count + POOLED_DAYS)


def _ratio(seen: Tensor, given: Tensor, otherwise: Tensor) -> Tensor:
    """Divides if both are positive."""
    known = (seen > 0) & (given > 0)
    return torch.where(known, seen / torch.where(known, given, 1.0), otherwise)


def scaled(sums: Mapping[str, Tensor], factor: Float64[Tensor, " *catchment"]) -> dict[str, Tensor]:
    """Returns the moments after multiplying predicted flow by a factor."""
    powers = {"given": 1, "given_square": 2, "product": 1}
    return {name: value * factor ** powers.get(name, 0) for name, value in sums.items()}


def nse(sums: Mapping[str, Tensor]) -> Float64[Tensor, " catchment"]:
    """Nash-Sutcliffe efficiency of each catchment whose observed flow varies.

    Source: Nash & Sutcliffe (1970), doi:10.1016/0022-1694(70)90255-6, Eq. 3.
    """
    count, seen, seen_square, _, given_square, product = _varying(sums)
    error = seen_square - 2 * product + given_square
    return 1 - error / (seen_square - seen.square() / count)


def kge(sums: Mapping[str, Tensor]) -> Float64[Tensor, " catchment"]:
    """Kling-Gupta efficiency of each catchment whose observed flow varies.

    The correlation of a constant prediction is taken as 0.

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
    """Returns the median (of an even number, the mean of the middle two); NaN without values or if one is NaN."""
    return float(values.quantile(0.5)) if len(values) else float("nan")


def _varying(sums: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Returns the moments of the catchments whose observed flow varies by more than the rounding of its sums."""
    count, seen, square = (sums[name] for name in MOMENTS[:3])
    varies = (count >= 2) & (square - seen.square() / count.clamp(min=1) > _ROUNDING * square)
    return tuple(sums[name][varies] for name in MOMENTS)
