"""Reads the images of a scene: bands in order, units harmonised, NaN where there are no data.

A pixel that is 0 in all bands has no data, declared or not: that is the code of Sentinel-2's products and the fill of
most exports, and no ground looks so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from thalweg.errors import DataError
from trainables.sentinel_supcon.data import units
from trainables.sentinel_supcon.data.contents import Contents, Scene
from trainables.sentinel_supcon.data.labels import numbers_of
from trainables.sentinel_supcon.data.meterml import read_array
from trainables.sentinel_supcon.data.rasters import (
    Footprint,
    Ground,
    Raster,
    read_codes,
    read_raster,
    require_same_ground,
)
from trainables.sentinel_supcon.knobs import BANDS

RADAR = ("VV", "VH")
_WORDS: Mapping[str, str] = {
    **{name: name for name in (*RADAR, "HH", "HV", *BANDS["l1c"])},
    **{f"B{name[2:]}": name for name in BANDS["l1c"] if name.startswith("B0")},
}
_PAIR_AGAIN = "pair or warp them again"
_COLOURS: Mapping[str, str] = {"RED": "B04", "GREEN": "B03", "BLUE": "B02", "NIR": "B08"}


@dataclass(frozen=True)
class Images:
    """The images of a scene; NaN where there are no data.

    Attributes:
        s1: VV and VH, in dB or counts.
        s2: Numbers of the optical bands, 10,000 for a reflectance of 1 once `shift` is added.
        footprint: Where the scene lies.
        shift: What is to be added to `s2`; None if nothing tells.
        ground: The ground of the radar image; None if files say nothing of it.
    """

    s1: Float32[np.ndarray, "2 row col"]
    s2: Float32[np.ndarray, "band height width"]
    footprint: Footprint
    shift: float | None
    ground: Ground | None = None


def side_of(contents: Contents) -> int:
    """Returns the side of the first scene, in pixels.

    Raises:
        DataError: It is no square.
    """
    first = read_scene(contents, contents.scenes[0]).s1
    if first.shape[1] != first.shape[2]:
        raise DataError(
            f"scenes must be squares, got {first.shape[1]} x {first.shape[2]} pixels in "
            f"{contents.folder / contents.scenes[0].s1}; cut them"
        )
    return int(first.shape[1])


def read_scene(contents: Contents, scene: Scene) -> Images:
    """Reads both images of a scene.

    Raises:
        DataError: A file is broken, lacks bands, holds what its unit cannot be, or both do not show the same ground.
    """
    first, second = contents.folder / scene.s1, contents.folder / scene.s2
    if first.suffix == ".npy":
        (s1, _), (s2, dtype) = read_array(first, 2), read_array(second, len(contents.bands))
        s2 = units.numbers(without_blanks(s2), second, dtype=dtype, has_scale=False)
        return Images(without_blanks(s1), s2, Footprint(), None)
    radar, optical = read_raster(first), read_raster(second)
    require_same_ground((first, radar.ground), (second, optical.ground), _PAIR_AGAIN)
    s1 = units.backscatter(_in_order(radar, RADAR, str(first)), contents.unit, first)
    values = _in_order(optical, contents.bands, str(second))
    s2, shift = in_numbers(values, optical, second, scene.baseline)
    return Images(s1, s2, radar.footprint, shift, radar.ground)


def in_numbers(
    values: Float32[np.ndarray, "band row col"],
    raster: Raster,
    path: Path,
    baseline: str,
    *,
    full: float | None = None,
) -> tuple[Float32[np.ndarray, "band row col"], float | None]:
    """Returns numbers of which 10,000 are a reflectance of 1, and what is to be added to them; None if nothing tells.

    Args:
        values: Bands of an optical image.
        raster: The file that holds them.
        path: Its path.
        baseline: What the data set's table says of it; empty if it says nothing.
        full: Number for a reflectance of 1 if the file gives no scale, 1 or 10,000; None tells it from the numbers.

    Raises:
        DataError: What should be reflectance cannot be.
    """
    s2 = units.numbers(values, path, dtype=raster.dtype, has_scale=raster.has_scale, full=full)
    return s2, 0.0 if raster.has_offset else units.known_shift(path, raster.tags, baseline)


def read_map(contents: Contents, scene: Scene, images: Images) -> UInt8[np.ndarray, "row col"]:
    """Reads the class of each pixel of a scene, 255 if it has none.

    Args:
        contents: The data set.
        scene: The scene.
        images: Its images.

    Raises:
        DataError: The file is broken, or of another size or ground than the scene.
    """
    path = contents.folder / scene.labels
    codes, ground = read_codes(path)
    rows, columns = images.s1.shape[1:]
    if codes.shape != (rows, columns):
        raise DataError(
            f"a map of classes must have the {rows} x {columns} pixels of its scene, got {codes.shape[0]} x "
            f"{codes.shape[1]} in {path}; resample it to the nearest"
        )
    if images.ground is not None:
        require_same_ground((contents.folder / scene.s1, images.ground), (path, ground), _PAIR_AGAIN)
    numbers: UInt8[np.ndarray, "row col"] = numbers_of(contents.codes)[codes]
    return numbers


def without_blanks(image: Float32[np.ndarray, "band row col"]) -> Float32[np.ndarray, "band row col"]:
    """Returns an image without the pixels that are 0 in all bands, which have no data."""
    return np.where((image == 0).all(0), np.float32(np.nan), image)


def share_missing(image: Float32[np.ndarray, "band row col"]) -> float:
    """Returns the share of pixels that lack data in any band."""
    return float(np.isnan(image).any(0).mean())


def filled(image: Float32[np.ndarray, "band row col"]) -> Float32[np.ndarray, "band row col"]:
    """Returns an image in which pixels without data have the median of their band."""
    gone = np.isnan(image)
    if not gone.any():
        return image
    medians = np.nanmedian(image, axis=(1, 2), keepdims=True)
    return np.where(gone, medians, image).astype(np.float32)


def _in_order(raster: Raster, bands: Sequence[str], path: str) -> Float32[np.ndarray, "band row col"]:
    """Returns the bands in the expected order, by their descriptions if these name all of them.

    Raises:
        DataError: There are others, or descriptions contradict the order.
    """
    called = [band_of(name) for name in raster.names]
    if all(called.count(band) == 1 for band in bands):
        chosen = [called.index(band) for band in bands]
    elif len(called) == len(bands) and all(
        name in ("", band) for name, band in zip(called, bands, strict=True)
    ):
        chosen = list(range(len(bands)))
    else:
        found = f": {', '.join(raster.names)}" if any(raster.names) else " without descriptions"
        raise DataError(
            f"{path} must have the bands {', '.join(bands)}, got {len(called)}{found}; write these, or describe each"
        )
    return bands_at(raster, chosen)


def bands_at(raster: Raster, chosen: Sequence[int]) -> Float32[np.ndarray, "band row col"]:
    """Returns some bands of a file, by their positions, without the pixels that are 0 in all of them."""
    rows = list(chosen)
    gone: Bool[np.ndarray, "row col"] = np.logical_and.reduce(raster.zero[rows])
    image = raster.values[rows]
    image[:, gone] = np.nan
    return image


def band_of(description: str) -> str:
    """Returns the band that a description names, such as ``B04``, ``b4_10m``, ``Sigma0_VH_db`` or ``red``; else ""."""
    words = [word for word in re.split(r"[^A-Z0-9]+", description.upper()) if word]
    if len(words) == 1 and words[0] in _COLOURS:
        return _COLOURS[words[0]]
    named = {_WORDS[word] for word in words if word in _WORDS}
    return named.pop() if len(named) == 1 else ""
