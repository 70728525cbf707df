"""Regular grids of cells: axes, edges and areas."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64

_CLOSED = 1e-3  # the circle is closed if the last cell ends this share of a cell from the first one


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid: every longitude with every latitude, or every x with every y.

    Attributes:
        name: Unique in a data set, such as ``64x32``.
        first: Longitudes of the centres in degrees east, or x in metres; ascending. The first longitude lies in
            [-180, 180), so that those of a region across the date line go on beyond 180.
        second: Latitudes of the centres in degrees north, or y in metres; ascending.
        geographic: Whether the axes are longitude and latitude.
    """

    name: str
    first: Float64[np.ndarray, " lon"]
    second: Float64[np.ndarray, " lat"]
    geographic: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along each axis."""
        return len(self.first), len(self.second)

    @cached_property
    def first_edges(self) -> Float64[np.ndarray, " edge"]:
        """Edges of the cells along the first axis, half-way between centres."""
        return edges_of(self.first)

    @cached_property
    def second_edges(self) -> Float64[np.ndarray, " edge"]:
        """Edges of the cells along the second axis; no cell reaches beyond a pole."""
        edges = edges_of(self.second)
        return np.clip(edges, -90.0, 90.0) if self.geographic else edges

    @cached_property
    def wraps(self) -> bool:
        """Whether the longitudes close the circle."""
        around = self.first_edges[-1] - self.first_edges[0]
        cell = around / len(self.first)
        return self.geographic and len(self.first) > 1 and bool(abs(around - 360.0) <= _CLOSED * cell)

    @cached_property
    def weights(self) -> Float32[np.ndarray, "lon lat"]:
        """Area of each cell, with a mean of 1 over all cells; ones if the grid is projected.

        The area between two meridians and two parallels is proportional to the difference of the sines of latitude.
        """
        if not self.geographic:
            return np.ones(self.shape, np.float32)
        area = np.outer(np.diff(self.first_edges), np.diff(np.sin(np.deg2rad(self.second_edges))))
        weights: Float32[np.ndarray, "lon lat"] = (area / area.mean()).astype(np.float32)
        return weights

    def is_like(self, other: "Grid") -> bool:
        """Returns whether both have the same cells, to a thousandth of a cell."""
        return (
            (self.geographic, self.shape) == (other.geographic, other.shape)
            and _agree(self.first, other.first)
            and _agree(self.second, other.second)
        )

    def __str__(self) -> str:
        unit = "degrees" if self.geographic else "m"
        names = ("longitude", "latitude") if self.geographic else ("x", "y")
        spans = ", ".join(
            f"{name} {axis[0]:.10g} to {axis[-1]:.10g}"
            for name, axis in zip(names, (self.first, self.second), strict=True)
        )
        return f"{self.name}: {spans} {unit}{', around the globe' if self.wraps else ''}"


def edges_of(centres: Float64[np.ndarray, " cell"]) -> Float64[np.ndarray, " edge"]:
    """Returns the edges of cells half-way between centres; the outer ones as far from their centre as the inner ones.

    A single cell is one unit wide.
    """
    edges: Float64[np.ndarray, " edge"] = centres[0] + np.array([-0.5, 0.5])
    if len(centres) == 1:
        return edges
    inner = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - inner[0], 2 * centres[-1] - inner[-1]
    return np.concatenate([[first], inner, [last]])


def _agree(one: Float64[np.ndarray, " cell"], other: Float64[np.ndarray, " cell"]) -> bool:
    cell = np.abs(np.diff(edges_of(one)))
    return bool((np.abs(one - other) <= _CLOSED * cell).all())
