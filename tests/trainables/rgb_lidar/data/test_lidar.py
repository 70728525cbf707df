import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.rgb_lidar.data.lidar import MAX_RANGE, directions, scan
from trainables.rgb_lidar.knobs import LidarNorm, LidarRepr


def example(side: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 40, (2, side, side)).astype(np.float32)
    depth[0, 0, 1] = depth[0, 2, 3] = MAX_RANGE
    azimuth, zenith = rng.uniform(-1, 1, (2, side)).astype(np.float32)
    return depth, azimuth, zenith


def slow_xyza(depth: np.ndarray, azimuth: np.ndarray, zenith: np.ndarray, norm: str) -> np.ndarray:
    out = np.zeros((len(depth), 4, *depth.shape[1:]))
    for s, i, j in np.ndindex(*depth.shape):
        d, az, ze = float(depth[s, i, j]), float(azimuth[i]), float(zenith[j])
        a = 1.0 if d < 50 else 0.0
        x = d * math.sin(-az) * math.cos(-ze)
        y = d * math.cos(-az) * math.cos(-ze)
        z = d * math.sin(-ze)
        if norm != "raw":
            x, y, z = x * a, y * a, z * a
        if norm == "scaled":
            x, y, z = x / 50, y / 50, z / 50
        out[s, :, i, j] = x, y, z, a
    return out


@pytest.mark.parametrize("norm", ["raw", "masked", "scaled"])
def test_points_follow_the_slow_definition(norm: LidarNorm) -> None:
    depth, azimuth, zenith = example()
    points = scan(depth, azimuth, zenith, lidar_repr="xyza", lidar_norm=norm)
    np.testing.assert_allclose(points, slow_xyza(depth, azimuth, zenith, norm), atol=1e-5)


@pytest.mark.parametrize(
    ("norm", "near", "gone"), [("raw", 10.0, 50.0), ("masked", 10, 0), ("scaled", 0.2, 0)]
)
def test_distances_alone_follow_the_same_conventions(norm: LidarNorm, near: float, gone: float) -> None:
    depth = np.full((1, 2, 2), 10, np.float32)
    depth[0, 1, 1] = MAX_RANGE
    angles = np.zeros(2, np.float32)
    seen = scan(depth, angles, angles, lidar_repr="depth", lidar_norm=norm)
    np.testing.assert_allclose(seen[0, 0], [[near, near], [near, gone]])


def test_the_farthest_point_of_a_scan_that_lost_no_ray_is_a_point() -> None:
    depth, azimuth, zenith = example()
    assert depth[1].max() < MAX_RANGE
    returned = scan(depth, azimuth, zenith, lidar_repr="xyza", lidar_norm="raw")[:, 3]
    assert returned[1].all()
    assert np.argwhere(returned[0] == 0).tolist() == [[0, 1], [2, 3]]


def test_rays_have_length_one() -> None:
    _, azimuth, zenith = example()
    np.testing.assert_allclose((directions(azimuth, zenith) ** 2).sum(0), 1, rtol=1e-5)


@given(batch=st.integers(1, 3), side=st.integers(1, 5), lidar_repr=st.sampled_from(["depth", "xyza"]))
def test_a_scan_of_any_size_has_the_channels_of_its_convention(
    batch: int, side: int, lidar_repr: LidarRepr
) -> None:
    angles = np.zeros(side, np.float32)
    depth = np.ones((batch, side, side), np.float32)
    seen = scan(depth, angles, angles, lidar_repr=lidar_repr, lidar_norm="raw")
    assert seen.shape == (batch, 4 if lidar_repr == "xyza" else 1, side, side)
    assert seen.dtype == np.float32
