"""Pareto dominance and hypervolume of points whose every coordinate is the better the smaller."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64


def undominated(points: Float64[np.ndarray, "point objective"]) -> Bool[np.ndarray, " point"]:
    """Returns which points no other one dominates: is nowhere worse than, and somewhere better. Equal ones stay."""
    nowhere_worse = (points[:, None] <= points[None]).all(-1)
    somewhere_better = (points[:, None] < points[None]).any(-1)
    dominated = np.any(nowhere_worse & somewhere_better, axis=0)
    return np.asarray(~dominated, bool)


def hypervolume(
    points: Float64[np.ndarray, "point objective"], reference: Float64[np.ndarray, " objective"]
) -> float:
    """Returns the volume that some points dominate below a reference point.

    By slicing objectives (While, Hingston, Barone and Huband 2006, doi:10.1109/TEVC.2005.851275): between two
    consecutive values of the last objective lies a slice whose base is the volume of all points up to there in the
    others.

    Args:
        points: The points; those that are not below the reference in each objective add nothing.
        reference: The reference point.
    """
    inside = points[(points < reference).all(1)]
    if not len(inside):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - inside.min())
    inside = inside[undominated(inside)]
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    heights = np.diff(np.append(inside[:, -1], reference[-1]))
    return float(
        sum(
            height * hypervolume(inside[: place + 1, :-1], reference[:-1])
            for place, height in enumerate(heights)
            if height
        )
    )
