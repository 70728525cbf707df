"""Interpolates points to a grid by inverse-distance weighting of the nearest points."""

import numpy as np
from jaxtyping import Float, Float64
from scipy.sparse import csr_array
from scipy.spatial import KDTree


class InverseDistance:
    """Weighted mean of the nearest points, with weights 1 / (distance + softening)^2 that add up to 1.

    Source: Shepard (1968), A two-dimensional interpolation function for irregularly-spaced data.

    Args:
        points: Easting and northing of the points in metres.
        targets: Easting and northing of the target places in metres.
        num_neighbours: Number of nearest points per place; fewer if there are fewer points.
        softening: Metres added to each distance, so that a place at a point also depends on its neighbours.
    """

    def __init__(
        self,
        points: Float[np.ndarray, "point 2"],
        targets: Float[np.ndarray, "place 2"],
        num_neighbours: int = 6,
        softening: float = 2500.0,
    ) -> None:
        count = min(num_neighbours, len(points))
        distance, nearest = KDTree(points).query(targets, k=range(1, count + 1))
        weight = (distance + softening) ** -2.0
        weight /= weight.sum(axis=1, keepdims=True)
        row = np.repeat(np.arange(len(targets)), count)
        self._weights = csr_array((weight.ravel(), (row, nearest.ravel())), shape=(len(targets), len(points)))

    def __call__(self, values: Float[np.ndarray, "point day"]) -> Float64[np.ndarray, "day place"]:
        """Returns the values at the places.

        Points that are NaN on a day are left out on that day; a place is NaN if all of its points are.
        """
        known = np.isfinite(values)
        filled: Float64[np.ndarray, "place day"] = self._weights @ np.where(known, values, 0).astype(
            np.float64
        )
        if not known.all():
            weight = self._weights @ known.astype(np.float64)
            filled = np.divide(filled, weight, out=np.full_like(filled, np.nan), where=weight > 0)
        return filled.T
