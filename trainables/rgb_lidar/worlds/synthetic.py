"""A synthetic world: one cube or sphere among small clutter, seen by a camera and a LiDAR along the same rays.

Each sensor fails in its own scenes: weak light makes images noisy, strong light makes the scanner lose many rays.
A model that weighs both is better than one that reads either. Cubes and spheres cover nearly equal areas, so
size says little about the class. As in the real set, some spheres have a scan without an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from thalweg.errors import ConfigError
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE, directions
from trainables.rgb_lidar.worlds.raycast import Solids, cast

Surface = tuple[
    Float32[np.ndarray, "scene ray"], Float32[np.ndarray, "scene ray 3"], Float32[np.ndarray, "scene ray 3"]
]
"""Distance, normal and colour of the surface that each ray hits."""

_CHUNK = 25


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Settings that make cubes and spheres hard to distinguish.

    Attributes:
        min_size: Smallest half edge of the cube, as a share of its distance; a pixel is 0.9 / side.
        max_size: Largest half edge.
        max_turn: Largest angle by which a cube is turned around an axis of its own, in radians.
        max_spread: Largest angle between the solid and the middle of the picture, in radians.
        max_backdrop: Brightest colour behind the solids, whose own are 0.3 to 1.
        max_clutter: Largest number of small cubes and spheres beside, behind and before the solid to classify.
        min_returns: Share of the rays onto a surface that come back in the strongest light; all do in the weakest.
        max_range_noise: Largest standard deviation of a scan's distances, as a share of them.
        max_image_noise: Largest standard deviation of a pixel in the strongest light, in units of full brightness; it
            grows as the light gets weaker.
        min_light: Smallest strength of the light; the largest is 1.
    """

    min_size: float = 0.12
    max_size: float = 0.2
    max_turn: float = 0.5
    max_spread: float = 0.06
    max_backdrop: float = 0.35
    max_clutter: int = 2
    min_returns: float = 0.05
    max_range_noise: float = 0.03
    max_image_noise: float = 0.1
    min_light: float = 0.15

    def scaled(self, level: float) -> "Difficulty":
        """Returns this difficulty at a level: 0 for bare, clean scenes of one size, 1 for itself, more for harder ones.

        Amounts are multiplied by the level; ratios of the worst to the best (size, returning rays, light) are raised to
        its power. Beyond 1 a quarter of the excess counts, for both sensors would soon see nothing. A turn beyond 45
        degrees repeats an earlier view of a cube's faces, and a spread beyond 0.2 cuts solids off.
        """
        level = min(level, 1) + max(level - 1, 0) / 4
        return Difficulty(
            min_size=self.max_size * (self.min_size / self.max_size) ** level,
            max_size=self.max_size,
            max_turn=min(self.max_turn * level, np.pi / 4),
            max_spread=min(self.max_spread * level, 0.2),
            max_backdrop=min(self.max_backdrop * level, 1.0),
            max_clutter=round(self.max_clutter * level),
            min_returns=self.min_returns**level,
            max_range_noise=self.max_range_noise * level,
            max_image_noise=self.max_image_noise * level,
            min_light=self.min_light**level,
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole synthetic data set.

    Attributes:
        num_per_class: Scenes that both sensors saw, of each class.
        num_unpaired: Scans of spheres without an image.
        side: Height and width of images and scans.
        difficulty: How hard the scenes are.
        seed: Seed of all random numbers.
    """

    num_per_class: int
    num_unpaired: int
    side: int = 64
    difficulty: Difficulty = Difficulty()
    seed: int = 1


@dataclass(frozen=True)
class Material:
    """Two colours in stripes, for each scene.

    Attributes:
        colours: Both colours.
        wave: Direction of the stripes times their number in a metre.
        phase: Where the stripes begin, in radians.
    """

    colours: Float32[np.ndarray, "scene 2 3"]
    wave: Float32[np.ndarray, "scene 3"]
    phase: Float32[np.ndarray, " scene"]


UNPAIRED = 0.003  # of a class: 30 of the real set's 10,029 spheres
TINY = Recipe(num_per_class=400, num_unpaired=3, difficulty=Difficulty().scaled(0.7))
DEFAULT = Recipe(num_per_class=2000, num_unpaired=6, seed=2)
OPTIONS: Mapping[str, str] = {
    "difficulty": "0 for clean scenes of one size, 0.7 as in tiny, 1 as in default, more for harder ones",
    "num_per_class": "scenes of each class that both sensors saw",
    "seed": "another number draws other scenes",
}


def make_tiny(folder: Path, **options: str) -> None:
    """Writes the world ``tiny`` into an empty folder."""
    make(folder, varied(TINY, options))


def make_default(folder: Path, **options: str) -> None:
    """Writes the world ``default`` into an empty folder."""
    make(folder, varied(DEFAULT, options))


def varied(recipe: Recipe, options: Mapping[str, str]) -> Recipe:
    """Returns a recipe changed by options of `OPTIONS`.

    Raises:
        ConfigError: A value is no number, or out of its bounds.
    """
    if "difficulty" in options:
        level = _number("difficulty", options["difficulty"], float, low=0, high=10)
        recipe = replace(recipe, difficulty=Difficulty().scaled(level))
    if "num_per_class" in options:
        count = int(_number("num_per_class", options["num_per_class"], int, low=1, high=1_000_000))
        recipe = replace(recipe, num_per_class=count, num_unpaired=max(3, round(UNPAIRED * count)))
    if "seed" in options:
        recipe = replace(recipe, seed=int(_number("seed", options["seed"], int, low=0, high=2**31)))
    return recipe


def _number(name: str, text: str, kind: type[int] | type[float], *, low: int, high: int) -> float:
    try:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"{name} must be {what} from {low:,} to {high:,}, got {text!r}; choose another"
        ) from None
    return value


def make(folder: Path, recipe: Recipe) -> None:
    """Writes a data set in the layout of the real one."""
    azimuth = zenith = np.linspace(-0.45, 0.45, recipe.side, dtype=np.float32)
    rays = directions(azimuth, zenith).reshape(3, -1).T.copy()
    for label, kind in enumerate(CLASSES):
        for part in ("lidar", "rgb"):
            (folder / kind / part).mkdir(parents=True)
        np.save(folder / kind / "azimuth.npy", azimuth)
        np.save(folder / kind / "zenith.npy", zenith)
        total = recipe.num_per_class + recipe.num_unpaired * label
        for start in range(0, total, _CHUNK):
            rng = np.random.default_rng((recipe.seed, label, start))
            count = min(_CHUNK, total - start)
            images, scans = render(rng, rays, count, label, recipe.difficulty)
            for number in range(start, start + count):
                name, row = f"{number:04d}", number - start
                np.save(folder / kind / "lidar" / f"{name}.npy", scans[row])
                if number < recipe.num_per_class:
                    path = folder / kind / "rgb" / f"{name}.png"
                    Image.fromarray(images[row]).save(path, compress_level=1)


def render(
    rng: np.random.Generator,
    rays: Float32[np.ndarray, "ray 3"],
    count: int,
    label: int,
    difficulty: Difficulty,
) -> tuple[UInt8[np.ndarray, "scene side side 4"], Float32[np.ndarray, "scene side side"]]:
    """Samples scenes of a class, and renders their images and scans.

    Args:
        rng: Generator of all random numbers.
        rays: Directions of a square of rays, row by row.
        count: Number of scenes.
        label: Number of the class in `CLASSES`.
        difficulty: How hard they are.

    Returns:
        Images with full opacity, and scans in metres.
    """
    hard = difficulty
    asked = _solids(
        rng, np.full(count, label == 1), (hard.min_size, hard.max_size), hard.max_spread, hard.max_turn
    )
    distance, normal = cast(rays, asked)
    colour = _paint(rng, rays, asked, distance)
    for number in range(difficulty.max_clutter):
        small = _solids(rng, rng.random(count) < 0.5, (0.01, 0.03), 0.4, np.pi)
        there = (number < rng.integers(0, difficulty.max_clutter + 1, count))[:, None]
        its_distance, its_normal = cast(rays, small)
        nearer = there & (its_distance < distance)
        colour = np.where(nearer[..., None], _paint(rng, rays, small, its_distance), colour)
        normal = np.where(nearer[..., None], its_normal, normal)
        distance = np.where(nearer, its_distance, distance)
    side = round(len(rays) ** 0.5)
    darkness = rng.uniform(0, 1, count)
    images = _photograph(rng, rays, (distance, normal, colour), darkness, difficulty)
    scans = _scan(rng, distance, darkness, difficulty)
    return images.reshape(count, side, side, 4), scans.reshape(count, side, side)


def _solids(
    rng: np.random.Generator,
    is_sphere: np.ndarray,
    sizes: tuple[float, float],
    max_spread: float,
    max_turn: float,
) -> Solids:
    """Samples one solid for each scene, 8 to 40 m away.

    A sphere covers the area of a cube sampled in its place: 4 half_edge^2 (|x| + |y| + |z|), with x, y, z the direction
    of view in the cube's axes, seen from between its front and its centre.
    """
    count = len(is_sphere)
    angles = rng.uniform(-max_spread, max_spread, (2, count)).astype(np.float32)
    away = rng.uniform(8, 40, count)
    towards = directions(angles[0], angles[1])[:, np.arange(count), np.arange(count)].T
    half_edge = away * np.exp(rng.uniform(np.log(sizes[0]), np.log(sizes[1]), count))
    rotation = _rotations(rng, count, max_turn)
    area = 4 * np.abs(np.einsum("sij,si->sj", rotation, towards)).sum(1)
    covered = area / np.pi * (half_edge / (away - half_edge / 2)) ** 2  # tan^2 of the sphere's angular radius
    radius = np.where(is_sphere, away * np.sqrt(covered / (1 + covered)), half_edge)
    return Solids(
        is_sphere=is_sphere,
        centre=(towards * away[:, None]).astype(np.float32),
        radius=radius.astype(np.float32),
        rotation=rotation,
    )


def _rotations(rng: np.random.Generator, count: int, max_turn: float) -> Float32[np.ndarray, "scene 3 3"]:
    """Samples rotations around axes of any direction (Rodrigues' formula)."""
    axis = rng.standard_normal((count, 3))
    x, y, z = (axis / np.linalg.norm(axis, axis=1, keepdims=True)).T
    zero = np.zeros(count)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    angle = rng.uniform(0, max_turn, count)[:, None, None]
    turned = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return np.asarray(turned, dtype=np.float32)


def _material(rng: np.random.Generator, radius: Float32[np.ndarray, " scene"]) -> Material:
    count = len(radius)
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    per_radius = rng.uniform(0.3, 2.0, count)
    return Material(
        colours=rng.uniform(0.3, 1, (count, 2, 3)).astype(np.float32),
        wave=(direction * (per_radius / radius)[:, None]).astype(np.float32),
        phase=rng.uniform(0, 2 * np.pi, count).astype(np.float32),
    )


def _paint(
    rng: np.random.Generator,
    rays: Float32[np.ndarray, "ray 3"],
    solids: Solids,
    distance: Float32[np.ndarray, "scene ray"],
) -> Float32[np.ndarray, "scene ray 3"]:
    """Returns the colour of the surface at the point that each ray hits."""
    material = _material(rng, solids.radius)
    scene, ray = np.nonzero(np.isfinite(distance))
    point = distance[scene, ray, None] * rays[ray] - solids.centre[scene]
    turns = (material.wave[scene] * point).sum(1)
    share = (0.5 + 0.5 * np.sin(2 * np.pi * turns + material.phase[scene]))[:, None]
    colour = np.zeros((*distance.shape, 3), np.float32)
    colour[scene, ray] = share * material.colours[scene, 0] + (1 - share) * material.colours[scene, 1]
    return colour


def _photograph(
    rng: np.random.Generator,
    rays: Float32[np.ndarray, "ray 3"],
    surface: Surface,
    darkness: Float64[np.ndarray, " scene"],
    difficulty: Difficulty,
) -> UInt8[np.ndarray, "scene ray 4"]:
    """Shades the surfaces (Lambert), lays them over a background of two colours, and adds the camera's noise."""
    distance, normal, colour = surface
    count = len(distance)
    light = rng.standard_normal((count, 3)) - [0, 1.0, 0]  # rather from the camera's side
    light /= np.linalg.norm(light, axis=1, keepdims=True)
    strength = (difficulty.min_light**darkness)[:, None, None]
    diffuse = np.maximum(np.einsum("srk,sk->sr", normal, light), 0)[..., None]
    backdrop = rng.uniform(0, difficulty.max_backdrop, (count, 2, 3))
    slope = rng.uniform(-1, 1, (count, 2)) @ rays[:, [0, 2]].T
    share = (0.5 + 0.5 * np.sin(6 * slope + rng.uniform(0, 6, (count, 1))))[..., None]
    behind = share * backdrop[:, None, 0] + (1 - share) * backdrop[:, None, 1]
    hit = np.isfinite(distance)[..., None]
    bright = np.where(hit, colour * (0.25 + 0.75 * diffuse), behind)
    # The exposure is set by the brightest colours, lit or not: set by the brightest pixels it would leak the shape.
    bright /= np.where(hit, colour, behind).max((1, 2), keepdims=True)
    noise = rng.uniform(0, difficulty.max_image_noise, (count, 1, 1)) / strength
    seen: Float64[np.ndarray, "scene ray 3"] = bright + noise * rng.standard_normal(bright.shape)
    opaque = np.ones((count, len(rays), 1))
    return np.round(255 * np.concatenate((np.clip(seen, 0, 1), opaque), axis=-1)).astype(np.uint8)


def _scan(
    rng: np.random.Generator,
    distance: Float32[np.ndarray, "scene ray"],
    darkness: Float64[np.ndarray, " scene"],
    difficulty: Difficulty,
) -> Float32[np.ndarray, "scene ray"]:
    """Measures the distances with noise; rays that miss or are lost give the range of the sensor."""
    noise = rng.uniform(0, difficulty.max_range_noise, (len(distance), 1))
    measured = distance * (1 + noise * rng.standard_normal(distance.shape))
    returning = (difficulty.min_returns ** (1 - darkness))[:, None]
    lost = rng.random(distance.shape) >= returning
    gone = lost | ~(measured < MAX_RANGE)
    return np.where(gone, MAX_RANGE, np.maximum(measured, 0)).astype(np.float32)


def small_recipe(num_per_class: int, *, side: int, seed: int = 3) -> Recipe:
    """Returns a data set of few small scenes, for tests."""
    return replace(TINY, num_per_class=num_per_class, side=side, seed=seed)
