import dataclasses
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thalweg.errors import ConfigError
from trainables.rgb_lidar.data.lidar import MAX_RANGE, directions
from trainables.rgb_lidar.worlds.raycast import Solids, cast
from trainables.rgb_lidar.worlds.synthetic import (
    DEFAULT,
    TINY,
    Difficulty,
    make,
    render,
    small_recipe,
    varied,
)

CLEAR = Difficulty(
    max_clutter=0, min_returns=1, max_range_noise=0, max_image_noise=0, min_light=1, min_size=0.2
)


def rays(side: int = 12) -> np.ndarray:
    angles = np.linspace(-0.45, 0.45, side, dtype=np.float32)
    return directions(angles, angles).reshape(3, -1).T.copy()


def solid(*, is_sphere: bool) -> Solids:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    return Solids(
        is_sphere=np.array([is_sphere]),
        centre=np.array([[0.5, 10, -0.3]], np.float32),
        radius=np.array([1.5], np.float32),
        rotation=rotation[None].astype(np.float32),
    )


def inside(points: np.ndarray, solids: Solids) -> np.ndarray:
    offset = points - solids.centre[0]
    if solids.is_sphere[0]:
        return np.asarray(np.linalg.norm(offset, axis=-1) <= solids.radius[0])
    return np.asarray((np.abs(offset @ solids.rotation[0]) <= solids.radius[0]).all(-1))


@pytest.mark.parametrize("is_sphere", [False, True])
def test_rays_meet_solids_where_a_slow_march_does(is_sphere: bool) -> None:
    solids = solid(is_sphere=is_sphere)
    distance, _ = cast(rays(), solids)
    steps = np.arange(5, 15, 0.01)
    for ray, found in zip(rays(), distance[0], strict=True):
        hits = steps[inside(steps[:, None] * ray, solids)]
        if len(hits) > 3:
            assert found == pytest.approx(hits[0], abs=0.02)
        elif not len(hits):
            assert found == np.inf or found > 5


@pytest.mark.parametrize("is_sphere", [False, True])
def test_normals_have_length_one_and_point_out_of_the_solid_towards_the_sensor(is_sphere: bool) -> None:
    solids = solid(is_sphere=is_sphere)
    distance, normal = cast(rays(), solids)
    hit = np.isfinite(distance[0])
    assert hit.sum() > 5
    np.testing.assert_allclose(np.linalg.norm(normal[0, hit], axis=1), 1, rtol=1e-4)
    assert (np.einsum("rk,rk->r", normal[0, hit], rays()[hit]) <= 1e-3).all()
    surface = rays()[hit] * distance[0, hit, None]
    assert not inside(surface + 0.05 * normal[0, hit], solids).any()


def test_camera_and_scanner_see_the_same_outline() -> None:
    images, scans = render(np.random.default_rng(0), rays(32), 6, 1, CLEAR)
    for image, scan in zip(images[..., :3].astype(float), scans, strict=True):
        hit = scan < MAX_RANGE
        assert 20 < hit.sum() < 900
        smooth = np.abs(np.diff(image, axis=1)).max(-1)
        edges = hit[:, 1:] != hit[:, :-1]
        assert smooth[edges].mean() > smooth[~edges & ~hit[:, 1:]].mean()


def test_size_does_not_tell_the_class() -> None:
    covered = [
        (render(np.random.default_rng(3), rays(32), 150, label, CLEAR)[1] < MAX_RANGE).mean()
        for label in (0, 1)
    ]
    assert covered[0] == pytest.approx(covered[1], rel=0.1)


def test_neither_brightness_nor_contrast_tells_the_class() -> None:
    pictures = [
        render(np.random.default_rng(4), rays(32), 200, label, CLEAR)[0][..., :3] / 255 for label in (0, 1)
    ]
    for measure in (np.mean, np.std):
        cubes, spheres = (measure(images, axis=(1, 2, 3)) for images in pictures)
        assert 0.42 < (cubes[:, None] < spheres).mean() < 0.58


def test_scenes_whose_images_are_noisy_are_those_whose_scans_are_whole() -> None:
    lit = Difficulty(max_clutter=0, min_returns=0.02, min_light=0.05, max_range_noise=0)
    images, scans = render(np.random.default_rng(6), rays(32), 80, 1, lit)
    corners = images[:, :6, :6, :3].astype(float)  # background, smooth but for the noise
    noise = np.abs(np.diff(corners, axis=1)).mean((1, 2, 3))
    whole = render(np.random.default_rng(6), rays(32), 80, 1, replace(lit, min_returns=1))[1]
    returning = (scans < MAX_RANGE).sum((1, 2)) / (whole < MAX_RANGE).sum((1, 2))
    noisy = noise > np.median(noise)
    assert returning[noisy].mean() > 2 * returning[~noisy].mean()


def test_lost_rays_give_the_range_of_the_sensor() -> None:
    lossy = Difficulty(max_clutter=0, min_returns=0.01, max_range_noise=0)
    clear = render(np.random.default_rng(5), rays(), 40, 0, CLEAR)[1]
    noisy = render(np.random.default_rng(5), rays(), 40, 0, lossy)[1]
    assert noisy.max() == MAX_RANGE
    assert (noisy < MAX_RANGE).sum() < (clear < MAX_RANGE).sum()


def test_worlds_are_deterministic(root: Path, tmp_path: Path) -> None:
    make(tmp_path, small_recipe(40, side=16))

    def digest(folder: Path) -> dict[str, str]:
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and ".store" not in p.parts]
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert digest(tmp_path) == digest(root / "mini")


def test_the_layout_is_that_of_the_real_set(root: Path) -> None:
    folder = root / "mini"
    assert len(list((folder / "spheres/lidar").glob("*.npy"))) == 43
    assert len(list((folder / "spheres/rgb").glob("*.png"))) == 40
    assert len(list((folder / "cubes/lidar").glob("*.npy"))) == 40
    assert np.load(folder / "cubes/azimuth.npy").shape == (16,)
    assert np.load(folder / "cubes/lidar/0000.npy").dtype == np.float32


def test_difficulty_one_is_the_world_as_it_is_and_zero_is_clean() -> None:
    assert varied(DEFAULT, {"difficulty": "1"}) == DEFAULT
    assert varied(TINY, {"difficulty": "0.7"}) == TINY
    clean = varied(DEFAULT, {"difficulty": "0"}).difficulty
    assert clean.min_size == clean.max_size == DEFAULT.difficulty.max_size
    assert clean.min_light == clean.min_returns == 1
    amounts = set(vars(clean)) - {"min_size", "max_size", "min_light", "min_returns"}
    assert all(getattr(clean, name) == 0 for name in amounts)


def test_a_larger_difficulty_makes_everything_harder() -> None:
    ratios = ("min_size", "max_size", "min_light", "min_returns")
    levels = [varied(TINY, {"difficulty": level}).difficulty for level in ("0", "0.5", "1", "2", "10")]
    for easier, harder in itertools.pairwise(levels):
        for field in dataclasses.fields(Difficulty):
            before, after = getattr(easier, field.name), getattr(harder, field.name)
            assert after <= before if field.name in ratios else after >= before
    hardest = levels[-1]
    assert 0 < hardest.min_size < hardest.max_size
    assert hardest.min_returns > 0


def test_the_hardest_world_can_still_be_drawn() -> None:
    hardest = varied(TINY, {"difficulty": "10"}).difficulty
    for label in (0, 1):
        images, scans = render(np.random.default_rng(2), rays(32), 20, label, hardest)
        assert np.isfinite(scans).all()
        assert (scans > 0).all()
        assert images.shape == (20, 32, 32, 4)


@pytest.mark.parametrize(("count", "unpaired"), [("10", 3), ("9999", 30)])
def test_unpaired_scans_come_in_the_share_of_the_real_set(count: str, unpaired: int) -> None:
    recipe = varied(TINY, {"num_per_class": count})
    assert (recipe.num_per_class, recipe.num_unpaired) == (int(count), unpaired)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("difficulty", "hard"),
        ("difficulty", "-1"),
        ("difficulty", "nan"),
        ("num_per_class", "1.5"),
        ("seed", "-1"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a .*number from .* got '{value}'"):
        varied(TINY, {name: value})
