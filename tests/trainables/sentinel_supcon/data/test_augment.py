import numpy as np
import pytest
import torch

from trainables.sentinel_supcon.data.augment import central_corners, draw_corners, draw_views, warp, windows
from trainables.sentinel_supcon.knobs import ViewKnobs

KEYS = np.arange(40, dtype=np.uint64)
SIDE, SIZE = 12, 8


def images(bands: int = 3) -> torch.Tensor:
    return torch.randn(len(KEYS), bands, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def views(knobs: ViewKnobs, scenes: torch.Tensor, corners: np.ndarray, sensor: int = 0) -> torch.Tensor:
    return warp(scenes, draw_views(KEYS, sensor, knobs, corners, SIDE, SIZE), SIZE)


def test_windows_are_random_and_within_the_scene() -> None:
    corners = draw_corners(KEYS, SIDE, SIZE)
    assert corners.min() == 0 and corners.max() == SIDE - SIZE
    assert (corners[:, 0] != corners[:, 1]).any()
    scenes = images()
    for scene, window, (row, column) in zip(scenes, windows(scenes, corners, SIZE), corners, strict=True):
        assert torch.equal(window, scene[:, row : row + SIZE, column : column + SIZE])
    assert central_corners(2, SIDE, SIZE).tolist() == [[2, 2], [2, 2]]


def test_a_view_without_rotation_and_crop_is_a_mirrored_window() -> None:
    scenes, corners = images(), draw_corners(KEYS, SIDE, SIZE)
    seen = views(ViewKnobs(min_crop=1), scenes, corners)
    found = set()
    for window, view in zip(windows(scenes, corners, SIZE), seen, strict=True):
        mirrored = {axes: window.flip(axes) for axes in ((), (1,), (2,), (1, 2))}
        (axes,) = [axes for axes, each in mirrored.items() if torch.allclose(each, view, atol=1e-4)]
        found.add(axes)
    assert len(found) == 4


def test_a_crop_shows_at_least_the_smallest_share_inside_the_window() -> None:
    ramp = torch.linspace(-1, 1, SIDE).expand(len(KEYS), 1, SIDE, SIDE).contiguous()
    corners = central_corners(len(KEYS), SIDE, SIZE)
    seen = views(ViewKnobs(min_crop=0.25, flip=False), ramp, corners)
    window = windows(ramp, corners, SIZE)
    width = (seen[..., -1] - seen[..., 0])[:, 0, 0] / (window[..., -1] - window[..., 0])[:, 0, 0]
    assert 0.5 <= width.min() < 0.6 and 0.9 < width.max() <= 1
    half_a_pixel = 1 / (SIDE - 1)
    assert seen.min() >= window.min() - half_a_pixel and seen.max() <= window.max() + half_a_pixel


def test_rotation_is_that_of_the_scene_in_pixels_not_of_its_edge() -> None:
    scenes = images()
    corners = central_corners(len(KEYS), SIDE, SIZE)
    affine = draw_views(KEYS, 0, ViewKnobs(min_crop=1, flip=False, rotation=90), corners, SIDE, SIZE)
    first = affine.numpy()[:, :, 0]
    angles = np.rad2deg(np.arctan2(first[:, 1], first[:, 0]))
    assert angles.min() < -70 and angles.max() > 70
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]]).expand(len(KEYS), 2, 3) * SIZE / SIDE
    turned = torch.rot90(windows(scenes, corners, SIZE), 1, (2, 3))
    assert torch.allclose(warp(scenes, quarter, SIZE), turned, atol=1e-4)


def test_no_value_appears_that_the_scene_does_not_hold() -> None:
    scenes = images().abs() + 5
    seen = views(ViewKnobs(rotation=180), scenes, draw_corners(KEYS, SIDE, SIZE))
    assert seen.min() >= scenes.min() - 1e-4 and seen.max() <= scenes.max() + 1e-4


@pytest.mark.parametrize("paired", [True, False])
def test_both_sensors_show_the_same_ground_if_their_geometry_is_paired(paired: bool) -> None:
    scenes, corners = images(), draw_corners(KEYS, SIDE, SIZE)
    knobs = ViewKnobs(rotation=20, paired_geometry=paired)
    same = torch.isclose(views(knobs, scenes, corners, 0), views(knobs, scenes, corners, 1)).flatten(1).all(1)
    assert same.all() if paired else not same.any()


def test_a_view_depends_on_its_key_alone() -> None:
    scenes, corners = images(), draw_corners(KEYS, SIDE, SIZE)
    knobs = ViewKnobs(rotation=30)
    whole = views(knobs, scenes, corners)
    chosen = [7, 3, 31]
    affine = draw_views(KEYS[chosen], 0, knobs, draw_corners(KEYS[chosen], SIDE, SIZE), SIDE, SIZE)
    assert torch.equal(warp(scenes[chosen], affine, SIZE), whole[chosen])
    others = draw_views(KEYS + np.uint64(100), 0, knobs, corners, SIDE, SIZE)
    assert not torch.isclose(
        others[:, :, :2], draw_views(KEYS, 0, knobs, corners, SIDE, SIZE)[:, :, :2]
    ).all()
