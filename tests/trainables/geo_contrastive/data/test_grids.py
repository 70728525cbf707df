"""Areas of cells and whether longitudes close the circle."""

import numpy as np
import pytest

from trainables.geo_contrastive.data.grids import Grid, edges_of


def globe(num_lons: int = 12, num_lats: int = 6) -> Grid:
    lons = -180 + 360 / num_lons * np.arange(num_lons)
    lats = -90 + 180 / num_lats * (np.arange(num_lats) + 0.5)
    return Grid(f"{num_lons}x{num_lats}", lons, lats, geographic=True)


def test_weights_of_the_globe_are_areas_by_quadrature() -> None:
    grid = globe()
    fine = np.deg2rad(np.linspace(-90, 90, 600_001))
    middle = (fine[1:] + fine[:-1]) / 2
    band = np.clip(((np.rad2deg(middle) + 90) / 30).astype(int), 0, 5)
    expected = np.bincount(band, np.cos(middle))
    np.testing.assert_allclose(grid.weights[0], expected / expected.mean(), rtol=1e-5)
    assert grid.weights.shape == (12, 6)
    assert grid.weights.mean() == pytest.approx(1, rel=1e-6)


def test_a_cell_at_the_pole_has_a_small_area_and_not_none() -> None:
    grid = Grid("4x5", np.array([-180.0, -90, 0, 90]), np.array([-90.0, -45, 0, 45, 90]), geographic=True)
    cap = 1 - np.sin(np.deg2rad(67.5))
    belt = 2 * np.sin(np.deg2rad(22.5))
    assert grid.weights[0, 0] / grid.weights[0, 2] == pytest.approx(cap / belt, rel=1e-5)


def test_projected_cells_weigh_the_same() -> None:
    grid = Grid("3x2", np.array([0.0, 25e3, 50e3]), np.array([0.0, 25e3]), geographic=False)
    assert (grid.weights == 1).all() and not grid.wraps


def test_only_longitudes_around_the_globe_wrap() -> None:
    grid = globe()
    assert grid.wraps
    assert not Grid("11x6", grid.first[1:], grid.second, geographic=True).wraps
    assert not Grid("12x6", grid.first, grid.second, geographic=False).wraps
    assert "around the globe" in str(grid)


def test_edges_of_uneven_centres_lie_between_them() -> None:
    assert edges_of(np.array([0.0, 2, 6])).tolist() == [-1, 1, 4, 8]


def test_grids_are_alike_up_to_a_thousandth_of_a_cell() -> None:
    grid = globe()
    assert grid.is_like(Grid("other", grid.first + 0.01, grid.second, geographic=True))
    assert not grid.is_like(Grid("other", grid.first + 1, grid.second, geographic=True))
    assert not grid.is_like(globe(12, 5))
