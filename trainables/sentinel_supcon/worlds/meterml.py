"""A synthetic METER-ML: facilities on a background of land, seen by radar and by a camera of four bands.

To each sensor a facility is of one of three kinds, which differ in brightness or arrangement. Each of the six classes
has its own pair of kinds, but shares each of both with another class: radar alone cannot tell CAFOs from mines, the
camera alone cannot tell them from landfills. Two kinds of each sensor are of one brightness, one in stripes and one in
chequers, of as much area and as long an edge: statistics of bands cannot tell them, what sees pixels can. Clutter as
bright as any kind lies around, and some facilities are faint.

As in the real set, classes are unequal, some scenes have no data in a part of the radar image, some lack a file, and
some have two types.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from trainables.sentinel_supcon.data.meterml import S1, S2
from trainables.sentinel_supcon.worlds.fields import smooth_field
from trainables.sentinel_supcon.worlds.options import Scenes, counts_of, varied

SHARES: Mapping[str, float] = {
    "CAFOs": 0.2,
    "Landfills": 0.07,
    "Mines": 0.1,
    "Negative": 0.3,
    "ProcessingPlants": 0.08,
    "RefineriesAndTerminals": 0.11,
    "WWTreatment": 0.14,
}
KINDS: Mapping[str, tuple[int, int]] = {
    "CAFOs": (0, 0),
    "Landfills": (1, 0),
    "Mines": (0, 1),
    "ProcessingPlants": (1, 2),
    "RefineriesAndTerminals": (2, 1),
    "WWTreatment": (2, 2),
}
"""How a facility scatters back, and what it reflects."""

_SCATTER = np.array([[2050, 1560], [2050, 1560], [1330, 960]], float)  # VV, VH in counts
_REFLECT = np.array([[2600, 2550, 2500, 2900], [700, 720, 680, 700], [700, 720, 680, 700]], float)
_CHEQUERED = ((False, True, False), (False, False, True))  # kinds of each sensor; the others are striped
_LAND_SCATTER = np.array([[1620, 1290], [1540, 1130], [1800, 1380]], float)  # vegetation, soil, houses
_LAND_REFLECT = np.array([[520, 760, 560, 3000], [1700, 1420, 1120, 2500], [1400, 1380, 1350, 2000]], float)
_VAL_SHARE = 1 / 3
_NUM_CELLS = 40
_PERIOD = 0.25  # of stripes, and side of chequers, as a share of the scene's side
_ODD = 150  # one in so many scenes has each irregularity


@dataclass(frozen=True, kw_only=True)
class Recipe(Scenes):
    """A whole synthetic data set.

    Attributes:
        speckle: Standard deviation of a radar pixel, in counts.
        haze: Standard deviation of a scene's radar level (in units of 400 counts) and of the logarithm of its light.
        clutter: Largest share of a scene that is covered by clutter.
        faintest: Smallest contrast of a facility, as a share of that of its kind.
    """

    speckle: float = 130.0
    haze: float = 0.15
    clutter: float = 0.3
    faintest: float = 0.3


TINY = Recipe(num_scenes=600, side=32, seed=1)
DEFAULT = Recipe(num_scenes=2400, side=72, seed=2)


def make_tiny(folder: Path, **options: str) -> None:
    """Writes the world ``tiny`` into an empty folder."""
    make(folder, varied(TINY, options))


def make_default(folder: Path, **options: str) -> None:
    """Writes the world ``default`` into an empty folder."""
    make(folder, varied(DEFAULT, options))


def make(folder: Path, recipe: Recipe) -> None:
    """Writes a data set in the layout of the real one."""
    rng = np.random.default_rng(recipe.seed)
    num_val = round(_VAL_SHARE * recipe.num_scenes)
    for split, total in (("train", recipe.num_scenes - num_val), ("val", num_val)):
        kinds = [name for name, count in counts_of(SHARES, total).items() for _ in range(count)]
        features = [
            _write(folder, rng, recipe, split, at, kinds[row])
            for at, row in enumerate(rng.permutation(total))
        ]
        collection = {"type": "FeatureCollection", "features": features}
        (folder / f"{split}_dataset.geojson").write_text(json.dumps(collection))


def _write(
    folder: Path, rng: np.random.Generator, recipe: Recipe, split: str, at: int, kind: str
) -> dict[str, Any]:
    """Writes a scene and returns its feature."""
    cell = int(rng.integers(_NUM_CELLS))
    odd = {each: at % _ODD == each for each in (7, 23, 61, 93)}
    types = [kind, "Mines"] if odd[93] and kind not in ("Mines", "Negative") else [kind]
    s1, s2 = render(rng, recipe, types, cell)
    if odd[7]:
        s1[: recipe.side // 3] = np.nan
    if odd[23]:
        s1[:2, : recipe.side // 2] = np.nan
    name = f"{kind}_{split}_{at:05d}"
    home = folder / f"{split}_images" / name
    home.mkdir(parents=True)
    np.save(home / S2, s2)
    if not odd[61]:
        np.save(home / S1, s1)
    west, south = -120 + cell % 8 * 5 + rng.uniform(0.1, 0.9), 30 + cell // 8 * 3 + rng.uniform(0.1, 0.9)
    east, north = west + 0.0072, south + 0.0072
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "properties": {"Image_Folder": name, "Type": ", ".join(types)},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def render(
    rng: np.random.Generator, recipe: Recipe, types: list[str], cell: int
) -> tuple[np.ndarray, np.ndarray]:
    """Samples a scene.

    Args:
        rng: Generator of all random numbers.
        recipe: Size and noise.
        types: Facilities in it; "Negative" draws none.
        cell: Number of its place, which has a land of its own.

    Returns:
        Radar counts (side, side, 2) as float32, and optical numbers (side, side, 4) as uint16.
    """
    side = recipe.side
    fields = np.stack([smooth_field(rng, side, side / 8) for _ in range(3)])
    cover = np.exp(1.5 * fields + np.array([1.0, cell % 3, cell % 2])[:, None, None])
    cover /= cover.sum(0)
    s1 = np.einsum("krc,kb->rcb", cover, _LAND_SCATTER)
    s2 = np.einsum("krc,kb->rcb", cover, _LAND_REFLECT)
    _strew(rng, recipe, s1, s2)
    for name in types:
        if name in KINDS:
            strength = rng.uniform(recipe.faintest, 1.0)
            where = facility(rng, side)
            for image, materials, kind, chequered in zip(
                (s1, s2), (_SCATTER, _REFLECT), KINDS[name], _CHEQUERED, strict=True
            ):
                pattern = strength * where[int(chequered[kind])][..., None]
                image += pattern * (materials[kind] - image)
    s1 += recipe.haze * 400 * rng.standard_normal(2) + recipe.speckle * rng.standard_normal(s1.shape)
    s2 *= np.exp(recipe.haze * rng.standard_normal()) * np.exp(0.08 * rng.standard_normal(s2.shape))
    return s1.astype(np.float32), np.clip(np.round(s2), 1, 65535).astype(np.uint16)


def _strew(
    rng: np.random.Generator,
    recipe: Recipe,
    s1: Float64[np.ndarray, "side side 2"],
    s2: Float64[np.ndarray, "side side 4"],
) -> None:
    """Strews squares of the brightness of facilities over a scene, each of one material for each sensor."""
    side = max(2, recipe.side // 10)
    count = round(rng.uniform(0, recipe.clutter) * (recipe.side / side) ** 2)
    for image, materials in ((s1, _SCATTER), (s2, _REFLECT)):
        corners = rng.integers(0, recipe.side - side + 1, (count, 2))
        for (row, column), kind in zip(corners, rng.integers(0, len(materials), count), strict=True):
            image[row : row + side, column : column + side] = materials[kind]


def facility(rng: np.random.Generator, side: int) -> Float64[np.ndarray, "2 side side"]:
    """Returns 1 where a facility is, in stripes and in chequers; both cover three tenths of the scene."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    angle = rng.uniform(0, np.pi)
    along = np.cos(angle) * columns + np.sin(angle) * rows - rng.uniform(-0.1, 0.1)
    across = -np.sin(angle) * columns + np.cos(angle) * rows - rng.uniform(-0.1, 0.1)
    size = 0.38 * rng.uniform(0.9, 1.1)
    inside = (np.abs(along) < size) & (np.abs(across) < size)
    phases = rng.uniform(0, 2, 2)
    stripes = np.sin(2 * np.pi * (across / _PERIOD + phases[0])) > 0
    # Chequers whose sides are a whole period have as much edge as stripes, which have two edges in one period.
    wide = [
        np.sin(np.pi * (each / _PERIOD + phase)) > 0
        for each, phase in zip((along, across), phases, strict=True)
    ]
    chequers = wide[0] ^ wide[1]
    return np.stack((inside & stripes, inside & chequers)).astype(np.float64)
