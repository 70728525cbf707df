"""Converts the distances of a LiDAR scan to input channels."""

import numpy as np
from jaxtyping import Float32

from trainables.rgb_lidar.knobs import LidarNorm, LidarRepr

MAX_RANGE = 50.0
"""Distance in metres that stands for a ray that did not come back."""

Angles = Float32[np.ndarray, " side"]


def directions(azimuth: Angles, zenith: Angles) -> Float32[np.ndarray, "3 row column"]:
    """Returns the unit vector x, y, z of each ray.

    Args:
        azimuth: Angle of each row, in radians.
        zenith: Angle of each column, in radians.
    """
    sine, cosine = np.sin(-azimuth)[:, None], np.cos(-azimuth)[:, None]
    flat, up = np.cos(-zenith)[None], np.sin(-zenith)[None]
    return np.stack((sine * flat, cosine * flat, np.broadcast_to(up, (len(azimuth), len(zenith)))))


def scan(
    depth: Float32[np.ndarray, "batch row column"],
    azimuth: Angles,
    zenith: Angles,
    *,
    lidar_repr: LidarRepr,
    lidar_norm: LidarNorm,
) -> Float32[np.ndarray, "batch channel row column"]:
    """Converts distances to the input channels of a model.

    A ray came back if its distance is below the range of the sensor; this does not depend on the other points of the
    scan.

    Args:
        depth: Distances in metres; `MAX_RANGE` if a ray did not come back.
        azimuth: Angle of each row, in radians.
        zenith: Angle of each column, in radians.
        lidar_repr: Distances alone, or x, y, z and 1 if a ray came back.
        lidar_norm: Lengths in metres (raw), 0 if no ray came back (masked), or masked and divided by the range
            (scaled).
    """
    returned = (depth < MAX_RANGE).astype(np.float32)
    lengths = depth if lidar_norm == "raw" else depth * returned
    if lidar_norm == "scaled":
        lengths = lengths / np.float32(MAX_RANGE)
    if lidar_repr == "depth":
        return lengths[:, None]
    points = lengths[:, None] * directions(azimuth, zenith)
    return np.concatenate((points, returned[:, None]), axis=1)
