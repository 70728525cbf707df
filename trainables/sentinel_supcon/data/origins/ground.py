"""Scenes of different splits that show the same ground: overlapping footprints, in one or in several systems.

Two scenes overlap if their rectangles have more than a tenth of the smaller side in common along both axes, so that
neighbours that touch do not. Rectangles in several coordinate reference systems are compared as their bounds in
degrees, which are wider by at most a twentieth for squares of neighbouring UTM zones.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64

MIN_OVERLAP = 0.1
"""Smallest share of the smaller side that overlapping scenes have in common, along both axes."""
_WORLD = "EPSG:4326"
_CORNERS = ((0, 1), (0, 3), (2, 1), (2, 3))  # left bottom, left top, right bottom, right top

Boxes = Float64[np.ndarray, "scene 4"]
Rows = Int64[np.ndarray, " _"]


def comparable_boxes(crs: Sequence[str], footprints: Boxes) -> Boxes:
    """Returns left, bottom, right and top of all scenes in one system; NaN where a scene has none.

    Args:
        crs: Coordinate reference system of each scene; empty texts where there is none.
        footprints: Left, bottom, right and top of each scene in it.
    """
    systems = sorted(set(crs) - {""})
    if len(systems) <= 1:
        return footprints
    boxes = np.full(footprints.shape, np.nan)
    of_scene = np.array(crs)
    for system in systems:
        rows = np.flatnonzero(of_scene == system)
        boxes[rows] = _in_degrees(system, footprints[rows])
    return boxes


def _in_degrees(system: str, boxes: Boxes) -> Boxes:
    """Returns bounds in degrees; NaN for what crosses the antimeridian."""
    from rasterio import warp  # what has one system needs none

    corners = np.stack([boxes[:, pair] for pair in _CORNERS])
    found = warp.transform(system, _WORLD, corners[..., 0].ravel(), corners[..., 1].ravel())
    x, y = (np.array(each).reshape(corners.shape[:2]) for each in found)
    bounds = np.column_stack((x.min(0), y.min(0), x.max(0), y.max(0)))
    bounds[~np.isfinite(bounds).all(1) | (bounds[:, 2] - bounds[:, 0] > 180)] = np.nan
    return bounds


def overlapping(boxes: Boxes, one: Rows, other: Rows) -> Iterator[tuple[int, int]]:
    """Yields the pairs of a scene of one split and a scene of another one that overlap, as rows.

    Args:
        boxes: Left, bottom, right and top of all scenes in one system; NaN where a scene has none.
        one: Rows of a split.
        other: Rows of another one.
    """
    from scipy.spatial import cKDTree  # which the description of a model must not wait for

    first, second = (_known(boxes, rows) for rows in (one, other))
    if not len(first) or not len(second):
        return
    sides = boxes[:, 2:] - boxes[:, :2]
    reach = np.maximum(np.concatenate((sides[first], sides[second])).max(0), np.finfo(float).tiny)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 / reach
    # Middles of scenes that overlap are less than the largest sides apart, so that few pairs are looked at.
    near = cKDTree(middles[first]).query_ball_tree(cKDTree(middles[second]), r=1.0, p=np.inf)
    for row, others in zip(first.tolist(), near, strict=True):
        for place in sorted(others):
            if _overlap(boxes[row], boxes[second[place]]):
                yield row, int(second[place])


def _known(boxes: Boxes, rows: Rows) -> Rows:
    """Returns the scenes with coordinates, each once."""
    unique = np.unique(rows)
    kept: Rows = unique[np.isfinite(boxes[unique]).all(1)]
    return kept


def _overlap(one: Float64[np.ndarray, " 4"], other: Float64[np.ndarray, " 4"]) -> bool:
    common = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = np.minimum(one[2:] - one[:2], other[2:] - other[:2])
    return bool((common > MIN_OVERLAP * smaller).all())
