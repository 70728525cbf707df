"""Inverse-distance interpolation equals its formula."""

import numpy as np
import pytest

from trainables.water_mae.importing.gridding import InverseDistance


def test_a_place_takes_the_weighted_mean_of_its_nearest_points() -> None:
    rng = np.random.default_rng(0)
    points, places = rng.uniform(0, 1e5, (30, 2)), rng.uniform(0, 1e5, (7, 2))
    values = rng.standard_normal((30, 4))
    filled = InverseDistance(points, places, num_neighbours=5, softening=1000.0)(values)
    for number, place in enumerate(places):
        distance = np.array([np.hypot(*(place - point)) for point in points])
        nearest = sorted(range(30), key=lambda point: distance[point])[:5]
        weight = [1 / (distance[point] + 1000.0) ** 2 for point in nearest]
        expected = sum(w * values[point] for w, point in zip(weight, nearest, strict=True)) / sum(weight)
        assert filled[:, number] == pytest.approx(expected)


def test_equal_values_stay_equal() -> None:
    rng = np.random.default_rng(0)
    interpolate = InverseDistance(rng.uniform(0, 1, (9, 2)), rng.uniform(0, 1, (5, 2)))
    assert interpolate(np.full((9, 2), 3.5)) == pytest.approx(np.full((2, 5), 3.5))


def test_fewer_points_than_neighbours_are_enough() -> None:
    interpolate = InverseDistance(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.0]]))
    assert interpolate(np.array([[1.0], [3.0]])) == pytest.approx(np.array([[2.0]]))
