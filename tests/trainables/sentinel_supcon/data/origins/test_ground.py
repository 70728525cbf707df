"""Footprints that overlap are those of a slow, obvious comparison; systems are compared in degrees."""

from itertools import product

import numpy as np
import pytest
from rasterio import warp

from trainables.sentinel_supcon.data.origins.ground import MIN_OVERLAP, comparable_boxes, overlapping


def slowly(boxes: np.ndarray, one: np.ndarray, other: np.ndarray) -> set[tuple[int, int]]:
    found = set()
    for first, second in product(one.tolist(), other.tolist()):
        here, there = boxes[first], boxes[second]
        if np.isnan(here).any() or np.isnan(there).any():
            continue
        across = min(here[2], there[2]) - max(here[0], there[0])
        along = min(here[3], there[3]) - max(here[1], there[1])
        sides = [min(here[axis + 2] - here[axis], there[axis + 2] - there[axis]) for axis in (0, 1)]
        if across > MIN_OVERLAP * sides[0] and along > MIN_OVERLAP * sides[1]:
            found.add((first, second))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_overlaps_are_those_of_a_comparison_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 3000, (60, 2)) * (1, 0.4)
    boxes = np.column_stack((low, low + rng.uniform(100, 500, (60, 2))))
    boxes[rng.integers(0, 60, 5)] = np.nan
    one, other = np.arange(35), np.arange(35, 60)
    found = list(overlapping(boxes, one, other))
    assert len(found) == len(set(found)) > 3
    assert set(found) == slowly(boxes, one, other)


def test_scenes_that_touch_do_not_overlap_and_a_strip_does() -> None:
    boxes = np.array([[0, 0, 320, 320], [320, 0, 640, 320], [-288, 0, 32, 320], [-280, 0, 40, 320]], float)
    assert list(overlapping(boxes, np.array([0, 0]), np.array([1, 2, 3]))) == [(0, 3)]


def test_nothing_overlaps_without_coordinates_or_scenes() -> None:
    boxes = np.full((4, 4), np.nan)
    assert not list(overlapping(boxes, np.arange(2), np.arange(2, 4)))
    assert not list(overlapping(np.zeros((4, 4)), np.arange(2), np.arange(0)))


def squares(x: float, y: float) -> np.ndarray:
    return np.array([x, y, x + 1200, y + 1200])


def test_the_same_ground_in_two_utm_zones_overlaps_and_its_neighbour_does_not() -> None:
    """Where zones 30 and 31 meet, at 0 degrees east, and their axes are turned most against each other."""
    crs, north = ["EPSG:32630", "EPSG:32631", "EPSG:32631"], 4_649_776.0
    (x,), (y,) = warp.transform(crs[0], crs[1], [747_000.0], [north])
    boxes = np.stack([squares(747_000, north), squares(x, y), squares(x + 1300, y)])
    assert abs(x - 747_000) > 300_000
    compared = comparable_boxes(crs, boxes)
    assert np.abs(compared[:, 0]).max() < 0.05
    assert list(overlapping(compared, np.array([0]), np.array([1, 2]))) == [(0, 1)]


def test_what_crosses_the_antimeridian_or_has_no_system_is_not_compared() -> None:
    boxes = np.array([[178.9, 0, 181.1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], float)
    wrapping = np.array([729_000.0, 0, 840_000.0, 1200])  # in zone 60 beyond 180 degrees east
    compared = comparable_boxes(["EPSG:32660", "EPSG:4326", ""], np.stack([wrapping, *boxes[1:]]))
    assert np.isnan(compared[[0, 2]]).all()
    assert compared[1].tolist() == [0, 0, 1, 1]
