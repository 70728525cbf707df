"""A synthetic DFC2020: land cover as maps, seen by radar in dB and in 13 bands of reflectance.

A class has a kind of backscatter and a kind of spectrum. Forest, shrubland and wetlands differ in radar alone,
grassland and croplands too, and urban and barren; shrubland, grassland and barren differ in reflectance alone, forest
and croplands too, and wetlands and water.

As in the real set, regions of the official validation and test splits are apart, maps hold savanna, snow and pixels
without a class (255), and some scenes lack a file or have no data in a part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.knobs import BANDS
from trainables.sentinel_supcon.worlds.fields import smooth_field
from trainables.sentinel_supcon.worlds.options import Scenes, varied

KINDS: Mapping[int, tuple[int, int]] = {
    1: (0, 0),  # forest
    2: (1, 0),  # shrubland
    3: (1, 1),  # savanna
    4: (1, 2),  # grassland
    5: (2, 0),  # wetlands
    6: (0, 2),  # croplands
    7: (3, 3),  # urban
    8: (1, 5),  # snow
    9: (1, 3),  # barren
    10: (2, 4),  # water
}
"""Backscatter and spectrum of each code."""
FREQUENCY: Mapping[int, float] = {
    1: 0.16, 2: 0.11, 3: 0.03, 4: 0.12, 5: 0.1, 6: 0.16, 7: 0.13, 8: 0.01, 9: 0.08, 10: 0.1
}  # fmt: skip
"""How often a code is the main one of a scene."""

_SCATTER = np.array([[-8.0, -14.0], [-12.5, -19.5], [-18.5, -26.5], [-4.5, -11.0]])  # VV, VH in dB
_SPECTRA = np.array(
    [
        [1250, 980, 850, 600, 900, 2000, 2450, 2400, 2650, 800, 12, 1500, 700],
        [1300, 1080, 1050, 1000, 1250, 1900, 2150, 2150, 2350, 800, 12, 2300, 1500],
        [1300, 1050, 1050, 750, 1250, 2700, 3250, 3200, 3450, 900, 12, 2150, 1150],
        [1500, 1400, 1500, 1700, 1900, 2100, 2200, 2300, 2400, 900, 12, 2900, 2300],
        [1120, 820, 560, 360, 320, 280, 260, 230, 210, 100, 10, 80, 50],
        [6200, 6100, 5900, 5800, 5700, 5500, 5300, 5200, 5000, 1500, 60, 600, 450],
    ],
    float,
)
_MAIN = (0.51, 0.65)  # share of a scene that its main code covers
_PIXEL_M = 10.0
_TEST_SHARE = 0.27
_REGIONS = {"validation": 30, "test": 8}
_ODD = 71  # one in so many scenes has each irregularity


@dataclass(frozen=True, kw_only=True)
class Recipe(Scenes):
    """A whole synthetic data set.

    Attributes:
        speckle: Standard deviation of a radar pixel, in dB.
        haze: Standard deviation of the logarithm of a scene's light; ten times as much is that of its radar, in dB.
    """

    speckle: float = 2.5
    haze: float = 0.12


TINY_DFC = Recipe(num_scenes=300, side=64, seed=3)


def make_tiny_dfc(folder: Path, **options: str) -> None:
    """Writes the world ``tiny-dfc`` into an empty folder."""
    make(folder, varied(TINY_DFC, options))


def make(folder: Path, recipe: Recipe) -> None:
    """Writes a data set in the layout of the real one."""
    num_test = round(_TEST_SHARE * recipe.num_scenes)
    totals = {"validation": recipe.num_scenes - num_test, "test": num_test}
    for part, (split, total) in enumerate(totals.items()):
        rng = np.random.default_rng((recipe.seed, part))
        first, regions = part * _REGIONS["validation"], _REGIONS[split]
        mains = rng.permutation(_main_codes(total))
        for at, main in enumerate(mains):
            _write(folder, rng, recipe, split, first + at % regions, at // regions, int(main), at)


def _main_codes(total: int) -> Int64[np.ndarray, " scene"]:
    """Returns the main code of so many scenes, each code as often as `FREQUENCY` says."""
    ends = np.round(np.cumsum(list(FREQUENCY.values())) / sum(FREQUENCY.values()) * total)
    return np.array(list(FREQUENCY))[np.searchsorted(ends, np.arange(total), side="right")]


def _write(
    folder: Path,
    rng: np.random.Generator,
    recipe: Recipe,
    split: str,
    region: int,
    patch: int,
    main: int,
    at: int,
) -> None:
    codes, s1, s2 = render(rng, recipe, main)
    odd = {each: at % _ODD == each for each in (5, 17, 31, 47)}
    if odd[5]:
        s1[:, : recipe.side // 4] = np.nan
    if odd[17]:
        s1[
            :, : max(1, recipe.side // 20), : recipe.side // 2
        ] = -9999.0  # declared: a reader that honours it never sees it
    if odd[31]:
        codes[: recipe.side // 3] = 255
    west = 300_000 + 60_000.0 * (region % 5) + recipe.side * _PIXEL_M * (patch % 8)
    north = 4_500_000 + 60_000.0 * (region // 5) - recipe.side * _PIXEL_M * (patch // 8)
    extent = recipe.side * _PIXEL_M
    bounds = (west, north - extent, west + extent, north)
    write = partial(write_raster, crs=f"EPSG:{32630 + region % 3}", bounds=bounds)
    roi = f"ROIs0000_{split}"

    def path(kind: str) -> Path:
        return folder / roi / f"{kind}_{region}" / f"{roi}_{kind}_{region}_p{patch}.tif"

    write(path("s1"), s1, nodata=-9999.0)
    if not odd[47]:
        write(path("s2"), s2)
    write(path("dfc"), codes[None])


def render(
    rng: np.random.Generator, recipe: Recipe, main: int
) -> tuple[UInt8[np.ndarray, "side side"], np.ndarray, np.ndarray]:
    """Samples a scene of which a code covers more than half.

    Returns:
        Codes (side, side), backscatter in dB (2, side, side) as float32, numbers (13, side, side) as uint16.
    """
    side = recipe.side
    others = rng.choice([code for code in KINDS if code not in (3, 8, main)], 2, replace=False)
    field = smooth_field(rng, side, side / 8)
    share = rng.uniform(*_MAIN)
    second = np.quantile(field, share + (1 - share) * rng.uniform(0.3, 0.7))
    codes = np.where(field <= np.quantile(field, share), main, np.where(field <= second, *others))
    scatter, spectrum = (np.array([KINDS[code][part] for code in range(1, 11)]) for part in (0, 1))
    s1 = _SCATTER[scatter[codes - 1]].transpose(2, 0, 1) + 10 * recipe.haze * rng.standard_normal((2, 1, 1))
    s1 = s1 + recipe.speckle * rng.standard_normal(s1.shape)
    s2: Float64[np.ndarray, "13 side side"] = _SPECTRA[spectrum[codes - 1]].transpose(2, 0, 1)
    s2 = s2 * np.exp(recipe.haze * rng.standard_normal() + 0.08 * rng.standard_normal(s2.shape))
    assert len(s2) == len(BANDS["l1c"])
    return codes.astype(np.uint8), s1.astype(np.float32), np.clip(np.round(s2), 1, 65535).astype(np.uint16)
