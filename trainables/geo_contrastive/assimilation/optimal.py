"""Optimal interpolation of observations (simple kriging), the classical analysis that a learnt one must beat.

Anomalies from the climatology have a standard deviation of their cell. Between cells at the chordal distance d (the
straight line through the globe, for which the model is a covariance; on projected grids the distance) they correlate by
``share * exp(-d^2 / (2 length^2))``; the rest is each cell's own. Standard deviations, share and length come from the
training split. The analysis is ``b + C_o (C_oo + r I)^-1 (y - b_o)`` (Daley 1991, Atmospheric Data Analysis, ch. 4).
Of more observations than `MAX_JOINT`, each cell takes the nearest alone, as is usual (Daley 1991, section 4.8), so that
memory grows with the number of cells and not with its square.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64

from thalweg.contract import Batch
from trainables.geo_contrastive.assimilation.observations import (
    OBSERVATION_NOISE,
    Positions,
    observe_by_protocol,
)
from trainables.geo_contrastive.baselines.sampled_days import every_few_days
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.grids import Grid

MAX_DAYS = 500
"""Days of the training split that statistics come from at most, evenly spaced."""
MAX_CELLS = 300
"""Cells whose correlations are fitted at most, evenly spaced."""
MAX_JOINT = 2000
"""Observations of a variable that are solved for together at most."""
NEAREST = 32
"""Observations that a cell is analysed from if there are more."""
MAX_KEPT = 64
"""Variables whose covariances are kept: with more of them each batch would fit all anew."""
_MIN_STD = 1e-6
_MAX_TABLE_CELLS = 2048  # of which all covariances are kept, 32 MiB
_BLOCK = 1024  # cells that are analysed at once

Innovation = Float64[np.ndarray, " cell"]
Cells = Int64[np.ndarray, " some"]


@dataclass(frozen=True)
class Covariance:
    """Covariance of a variable's anomalies.

    Attributes:
        std: Standard deviation of each cell that has data.
        share: Correlation of neighbours as their distance vanishes.
        length: Length of the correlation, in `places`' unit.
        places: Where the cells are.
    """

    std: Float64[np.ndarray, " cell"]
    share: float
    length: float
    places: Float64[np.ndarray, "cell axis"]

    def matrix(self) -> Float64[np.ndarray, "cell cell"]:
        """Returns the covariance of all pairs of cells, of which there should be few."""
        every = np.arange(len(self.std))
        return self._computed(every, every)

    def between(
        self, cells: Int64[np.ndarray, "*batch row"], others: Int64[np.ndarray, "*batch column"]
    ) -> Float64[np.ndarray, "*batch row column"]:
        """Returns the covariance of some cells with others, by their numbers."""
        if self._table is None:
            return self._computed(cells, others)
        table: Float64[np.ndarray, "*batch row column"] = self._table[
            cells[..., :, None], others[..., None, :]
        ]
        return table

    @cached_property
    def _table(self) -> Float64[np.ndarray, "cell cell"] | None:
        return self.matrix() if len(self.std) <= _MAX_TABLE_CELLS else None

    def _computed(self, cells: np.ndarray, others: np.ndarray) -> np.ndarray:
        rows, columns = cells[..., :, None], others[..., None, :]
        squares = sum(np.square(axis[rows] - axis[columns]) for axis in self.places.T)
        correlation = np.where(rows == columns, 1.0, gaussian(np.sqrt(squares), self.share, self.length))
        covariance: np.ndarray = correlation * (self.std[rows] * self.std[columns])
        return covariance


def gaussian(
    distance: Float64[np.ndarray, "*shape"], share: float, length: float
) -> Float64[np.ndarray, "*shape"]:
    """Returns the correlation of anomalies of different cells."""
    correlation: Float64[np.ndarray, "*shape"] = share * np.exp(-0.5 * np.square(distance / length))
    return correlation


def fit_covariance(data: FieldData, name: str) -> Covariance:
    """Fits the covariance of a variable to the training split."""
    from scipy.optimize import least_squares  # a second that those who only look need not wait for

    valid = data.valid[name]
    positions = every_few_days(data, MAX_DAYS, int(valid.sum()))
    usual = data.climatology[name][data.day_of_year[positions]][:, valid]
    anomalies = data.fields[name][positions][:, valid].astype(np.float64) - usual
    std = np.maximum(np.sqrt(np.square(anomalies).mean(0)), _MIN_STD)
    all_places = places(data.grids[data.variables[name].grid], valid)
    some = np.arange(0, len(std), -(-len(std) // MAX_CELLS))
    scaled = anomalies[:, some] / std[some]
    pairs = np.triu_indices(len(some), 1)
    if not len(pairs[0]):
        return Covariance(std, 0.0, 1.0, all_places)
    correlation, distance = (scaled.T @ scaled / len(scaled))[pairs], _distances(all_places[some])[pairs]
    fitted = least_squares(
        lambda found: gaussian(distance, found[0], found[1]) - correlation,
        (0.9, float(np.median(distance)) / 2),
        bounds=((0.0, distance.min() / 10), (1.0, 10 * distance.max())),
        x_scale=(1.0, float(np.median(distance))),
    )
    return Covariance(std, float(fitted.x[0]), float(fitted.x[1]), all_places)


def places(grid: Grid, valid: Bool[np.ndarray, "lon lat"]) -> Float64[np.ndarray, "cell axis"]:
    """Returns where the cells with data lie: on the unit sphere, or in metres."""
    first, second = (axis[valid] for axis in np.meshgrid(grid.first, grid.second, indexing="ij"))
    if not grid.geographic:
        return np.stack([first, second], axis=1)
    longitude, latitude = np.deg2rad(first), np.deg2rad(second)
    cosine = np.cos(latitude)
    return np.stack([cosine * np.cos(longitude), cosine * np.sin(longitude), np.sin(latitude)], axis=1)


def interpolate(
    covariance: Covariance,
    innovation: Float[np.ndarray, " cell"],
    observed: Bool[np.ndarray, " cell"],
) -> Float64[np.ndarray, " cell"]:
    """Returns the analysed anomaly of a day.

    Args:
        covariance: Of the cells.
        innovation: Observed minus background; anything where not observed.
        observed: Cells that are observed, at least one.
    """
    seen = np.flatnonzero(observed)
    analysed = _jointly if len(seen) <= MAX_JOINT else _from_nearest
    return analysed(covariance, innovation.astype(np.float64), seen)


def _jointly(covariance: Covariance, innovation: Innovation, seen: Cells) -> Innovation:
    """Analyses all cells from all observations."""
    from scipy.linalg import cho_factor, cho_solve  # see `fit_covariance`

    among = covariance.between(seen, seen) + OBSERVATION_NOISE**2 * np.eye(len(seen))
    weights = cho_solve(cho_factor(among), innovation[seen])
    return np.concatenate([covariance.between(cells, seen) @ weights for cells in _blocks(len(innovation))])


def _from_nearest(covariance: Covariance, innovation: Innovation, seen: Cells) -> Innovation:
    """Analyses each cell from its nearest observations."""
    from scipy.spatial import cKDTree  # see `fit_covariance`

    tree = cKDTree(covariance.places[seen])
    found = []
    for cells in _blocks(len(innovation)):
        near = seen[tree.query(covariance.places[cells], k=min(NEAREST, len(seen)))[1]].reshape(
            len(cells), -1
        )
        among = covariance.between(near, near) + OBSERVATION_NOISE**2 * np.eye(near.shape[1])
        weights = np.linalg.solve(among, innovation[near][..., None])
        found.append((covariance.between(cells[:, None], near) @ weights)[:, 0, 0])
    return np.concatenate(found)


def _blocks(number: int) -> Iterator[Cells]:
    for first in range(0, number, _BLOCK):
        yield np.arange(first, min(first + _BLOCK, number))


def optimal_analysis(data: FieldData, positions: Positions) -> dict[str, torch.Tensor]:
    """Returns the analysis of each variable (batch, lon, lat) of days that are observed as evaluation does."""
    observations = observe_by_protocol(data, positions)
    return {name: _analysed(data, name, positions, observations) for name in data.variables}


def _analysed(data: FieldData, name: str, positions: Positions, observations: Batch) -> torch.Tensor:
    valid, covariance = data.valid[name], _covariance(_Variable(data.fingerprint, name, data))
    background = data.climatology[name][data.day_of_year[positions]]
    found = background.copy()
    values, observed = (observations[f"{what}/{name}"].numpy() for what in ("observed", "is_observed"))
    for number in range(len(positions)):
        innovation = (values[number] - background[number])[valid]
        found[number, valid] += interpolate(covariance, innovation, observed[number, valid])
    return torch.from_numpy(found)


@dataclass(frozen=True)
class _Variable:
    """A variable of a data set, for a cache."""

    fingerprint: str
    name: str
    data: FieldData = field(compare=False)


@lru_cache(maxsize=MAX_KEPT)
def _covariance(of: _Variable) -> Covariance:
    return fit_covariance(of.data, of.name)


def _distances(where: Float64[np.ndarray, "cell axis"]) -> Float64[np.ndarray, "cell cell"]:
    squares = np.square(where[:, None] - where[None]).sum(-1)
    distances: Float64[np.ndarray, "cell cell"] = np.sqrt(squares)
    return distances
