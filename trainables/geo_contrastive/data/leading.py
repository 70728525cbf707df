"""Leading patterns of fields: empirical orthogonal functions of all variables together.

Each cell counts as one number, whatever its area. Patterns are to tell hidden cells from visible ones, each of which is
an observation with its own noise (see `model.interpolation`), and areas are no part of what one cell tells of another;
they would only change which patterns are kept. Errors, and patterns that stand for the variance of whole fields
(`forecast.ridge`, `seasons.baselines`), are by area.

Source: Wilks (2011), Statistical methods in the atmospheric sciences, ch. 12.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn.functional import pad

from trainables.geo_contrastive.data.fields import FieldData

MAX_DAYS = 1024
"""Days of the training split that patterns come from at most, evenly spread."""
_MAX_VALUES = 1 << 26  # of the matrix of days and cells, 256 MiB
_BLOCK = 1 << 12  # cells whose products are summed at once in double precision
_NOISE = 1e-3  # smallest variance of what patterns leave over, as a share of a cell's variance

_STILL = 1e-6  # of the mean variance of a cell: one that varies less tells nothing of others

_FOLDS = 5
_MAX_UNDERESTIMATE = 4.0

OfVariables = Mapping[str, Mapping[str, Float32[np.ndarray, "..."]]]


def days_of_patterns(data: FieldData, num_cells: int) -> Int64[np.ndarray, " day"]:
    """Returns positions of days of the training split, evenly spread; fewer where days have many cells."""
    days = data.days["train"]
    count = min(len(days), MAX_DAYS, max(_MAX_VALUES // num_cells, 2))
    return np.linspace(days.start, days.stop - 1, count).round().astype(np.int64)


def leading(
    rows: Float[Tensor, "day cell"], max_patterns: int
) -> tuple[Float[Tensor, "cell pattern"], Float[Tensor, " cell"]]:
    """Finds patterns with amplitudes of unit variance, and the variance that they leave over in each cell.

    The first pattern varies most. There are at most a quarter as many as days: more would be those of the noise. What
    they leave over is that of days that they do not come from. They are 0 in cells that are all but constant: a later
    day on which such a cell is another by chance would be beyond all that they know.

    Args:
        rows: Deviations of days from what is usual, in the order of time.
        max_patterns: Largest number of patterns.
    """
    variance = rows.square().mean(0)
    products = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for block in torch.split(rows, _BLOCK, dim=1):
        products += block.double() @ block.double().T
    count = min(max_patterns, max(len(rows) // 4, 1))
    # Eigenvectors of the smaller matrix, of days: the method of snapshots.
    _, vectors = torch.linalg.eigh(products / len(rows))
    patterns = rows.T @ vectors[:, -count:].flip(1).float() / len(rows) ** 0.5
    # Either sign would do; this one is the same on all machines.
    largest = patterns.gather(0, patterns.abs().argmax(0, keepdim=True))
    patterns = torch.where(largest < 0, -patterns, patterns)
    patterns[variance <= _STILL * variance.mean()] = 0
    left = (variance - patterns.square().sum(1)) * _underestimate(products, count)
    return patterns, torch.maximum(left, _NOISE * variance.clamp(min=1e-6))


def _underestimate(products: Float[Tensor, "day day"], count: int) -> float:
    """Returns how much more patterns leave over of other days than of those that they come from.

    Each fifth of the days in turn is left out; days that follow each other are much the same, so that it is one period.

    Args:
        products: Of each two days, sums over cells.
        count: Number of patterns.
    """
    inside = outside = 0.0
    for left_out in torch.arange(len(products)).tensor_split(_FOLDS):
        kept = torch.ones(len(products), dtype=torch.bool)
        kept[left_out] = False
        values, vectors = torch.linalg.eigh(products[kept][:, kept])
        values, vectors = values[-count:].clamp(min=1e-12 * float(values[-1])), vectors[:, -count:]
        shown = (products[left_out][:, kept] @ vectors).square() / values
        inside += float(products.diagonal()[kept].sum() - values.sum()) / int(kept.sum())
        outside += float(products.diagonal()[left_out].sum() - shown.sum()) / max(len(left_out), 1)
    return min(max(outside / inside, 1.0), _MAX_UNDERESTIMATE) if inside > 0 else 1.0


def leading_patterns(data: FieldData, count: int) -> OfVariables:
    """Returns the leading patterns of z-scores over the training split, for each variable.

    ``centre`` (cell,) is the mean, ``patterns`` (cell, count) have amplitudes of unit variance, and ``noise`` (cell,)
    is the variance that they leave over. Where the split has too few days the last patterns are 0.

    Args:
        data: Opened data.
        count: Number of patterns.
    """
    sizes = {name: field[0].size for name, field in data.fields.items()}
    positions = days_of_patterns(data, sum(sizes.values()))
    parts = [field[positions].reshape(len(positions), -1) for field in data.fields.values()]
    rows = torch.from_numpy(np.concatenate(parts, axis=1))
    centre = rows.mean(0)
    patterns, noise = leading(rows - centre, count)
    every = {
        "centre": centre,
        "patterns": pad(patterns, (0, count - patterns.shape[1])),
        "noise": noise,
    }
    split = {name: values.split(list(sizes.values())) for name, values in every.items()}  # type: ignore[no-untyped-call]
    return {
        variable: {name: values[number].numpy() for name, values in split.items()}
        for number, variable in enumerate(sizes)
    }
