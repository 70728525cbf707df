"""Structural similarity of fields on a grid, over cells that have data (SSIM, doi:10.1109/TIP.2003.819861, Eq. 13)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SIGMA = 1.5
"""Standard deviation of the Gaussian window in cells, as published."""
_REACH = 5  # cells to each side: the published window of 11 x 11
_K1, _K2 = 0.01, 0.03

Field = Float[Tensor, "batch lon lat"]


def structural_similarity(
    found: Field,
    truth: Field,
    valid: Bool[Tensor, "batch lon lat"],
    data_range: Float[Tensor, " batch"],
    *,
    wraps: bool,
) -> Field:
    """Returns the similarity of each cell and its surroundings, in [-1, 1]; without meaning where not valid.

    Means, variances and the covariance are those of the valid cells in the window, which closes the circle where the
    grid does and is cut off at other edges. Far from edges and invalid cells this is the published definition.

    Args:
        found: Reconstruction.
        truth: True field.
        valid: Cells that have data.
        data_range: Largest minus smallest possible value, for each sample.
        wraps: Whether the first longitude follows the last one.
    """
    found, truth, mask = found.double(), truth.double(), valid.double()
    window = [
        _window(size, around, found.device)
        for size, around in zip(found.shape[1:], (wraps, False), strict=True)
    ]

    def over_window(values: Tensor) -> Tensor:
        summed: Tensor = window[0] @ (values * mask) @ window[1].T
        return summed

    weight = over_window(torch.ones_like(mask)).clamp(min=1e-12)
    mean, true_mean = over_window(found) / weight, over_window(truth) / weight
    variance = over_window(found.square()) / weight - mean.square()
    true_variance = over_window(truth.square()) / weight - true_mean.square()
    covariance = over_window(found * truth) / weight - mean * true_mean
    one, two = ((constant * data_range.double()[:, None, None]) ** 2 for constant in (_K1, _K2))
    similarity: Field = ((2 * mean * true_mean + one) * (2 * covariance + two)) / (
        (mean.square() + true_mean.square() + one) * (variance + true_variance + two)
    )
    return similarity


def _window(num_cells: int, wraps: bool, device: torch.device) -> Float[Tensor, "cell source"]:
    """Returns the weight of each cell of an axis in the window around each cell."""
    cells = torch.arange(num_cells, device=device)
    weights = torch.zeros(num_cells, num_cells, dtype=torch.float64, device=device)
    for step in range(-_REACH, _REACH + 1):
        source = cells + step
        inside = (source >= 0) & (source < num_cells)
        kept = torch.ones_like(inside) if wraps else inside
        share = math.exp(-0.5 * (step / SIGMA) ** 2)
        weights.index_put_(
            (cells[kept], source[kept] % num_cells), weights.new_tensor(share), accumulate=True
        )
    return weights
